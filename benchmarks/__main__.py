"""`python -m benchmarks [COMMAND]`.

run, compare, paper, soak, profile, instructions, frontend, cluster, many, files, web, seldon or
gpu: see docs/benchmarks.md.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from benchmarks.callgrind import run_instructions
from benchmarks.check import WrongAnswerError
from benchmarks.cluster_mode import run_cluster_mode
from benchmarks.comparison import run_comparison
from benchmarks.daemon import Tree
from benchmarks.document import record
from benchmarks.environment import (
    MissingToolError,
    inputs_folder,
    make_environment,
    make_generator,
    make_inputs,
    need,
    run_in_environment,
)
from benchmarks.files_mode import as_lines, run_files_mode
from benchmarks.front_end_mode import run_front_end_mode
from benchmarks.gpu_mode import ask_gpu, run_gpu_mode
from benchmarks.many_mode import run_many_mode
from benchmarks.paper import paper_markdown, run_paper
from benchmarks.profiling import run_profile
from benchmarks.report import aligned, suite_markdown, targets_table, write_json
from benchmarks.seldon_mode import as_lines as seldon_lines
from benchmarks.seldon_mode import run_seldon_mode
from benchmarks.servers import ServerError
from benchmarks.settings import ROOT, Settings
from benchmarks.soak import run_soak
from benchmarks.suite import WIDE, run_suite
from benchmarks.web_mode import as_lines as web_lines
from benchmarks.web_mode import run_web_mode
from benchmarks.workloads import WORKLOADS

QUICK_CONNECTIONS = (1, 32, 256)
USUAL = {"many": WIDE, "instructions": ("W1", "W4", "W6")}
"""The workloads of a command that has not all."""


def main() -> int:
    """Run what the command line asks for; 1 for wrong answers, 2 for what is missing."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers are ended on the way out
    options = parse(sys.argv[1:])
    try:
        settings = prepare(options)
        return COMMANDS[options.command](settings, options)
    except WrongAnswerError as error:
        print(f"WRONG ANSWERS: {error}", file=sys.stderr)
        return 1
    except (MissingToolError, ServerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("command", nargs="?", default="run", choices=sorted(COMMANDS))
    parser.add_argument(
        "--quick", action="store_true", help="one short round: is every answer right?"
    )
    parser.add_argument("--only", help="W1,W2,… (all; W1,W2 of many; W1,W4,W6 counted)")
    parser.add_argument("--rounds", type=int, help="rounds, interleaved (3)")
    parser.add_argument("--seconds", type=float, help="of each point (3)")
    parser.add_argument("--connections", default="1,32,256")
    parser.add_argument("--threads", type=int, default=1, help="of the load generator, closed loop")
    parser.add_argument("--frontends", default="1,2,4,8", help="of many: a daemon with each")
    parser.add_argument("--no-open-loop", action="store_true")
    parser.add_argument(
        "--answers",
        action="store_true",
        help="are all answers right? load on servd only, and no open loop",
    )
    parser.add_argument("--carrier", default="auto", choices=("auto", "unix", "zmq"))
    parser.add_argument("--against", type=Path, help="another checkout: of compare, instructions")
    parser.add_argument("--queries", type=int, default=5_000_000, help="of soak")
    parser.add_argument(
        "--record", action="store_true", help="put the figures into docs/benchmarks.md"
    )
    parser.add_argument("--work", type=Path, default=ROOT / "build/bench")
    parser.add_argument("--out", type=Path, help="where results go (WORK/results)")
    parser.add_argument("--python", type=Path, help="an environment for the baselines made before")
    options = parser.parse_args(arguments)
    options.only = options.only or ",".join(USUAL.get(options.command, WORKLOADS))
    unknown = set(options.only.split(",")) - set(WORKLOADS)
    if unknown:
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    return options


def prepare(options: argparse.Namespace) -> Settings:
    """Make what is missing and return the settings."""
    if options.command == "gpu":
        ask_gpu(Path(sys.executable))  # what follows takes minutes
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    out = (options.out or work / "results").absolute()
    out.mkdir(parents=True, exist_ok=True)
    need("wrk", "wrk")
    python = Path(sys.executable)
    if options.command != "web":  # whose applications run in this environment
        make_generator(work)
        python = make_environment(work, options.python)
    inputs_folder(work).mkdir(exist_ok=True)
    if options.command not in ("gpu", "files", "web"):  # which make their own
        make_inputs(work, python)
    return Settings(
        rounds=options.rounds or (1 if options.quick else 3),
        seconds=options.seconds or (1.0 if options.quick else 3.0),
        warm_up_s=0.5 if options.quick else 2.0,
        workloads=tuple(options.only.split(",")),
        connections=tuple(int(text) for text in options.connections.split(",")),
        is_open_loop=not (options.no_open_loop or options.answers),
        are_baselines_timed=not options.answers,
        is_quick=options.quick,
        work=work,
        out=out,
        python=python,
        threads=options.threads,
        frontends=tuple(int(text) for text in options.frontends.split(",")),
        carrier=options.carrier,
    )


def suite_command(settings: Settings, options: argparse.Namespace) -> int:
    """`make bench`."""
    results = run_suite(settings)
    path = settings.out / "results.json"
    write_json(path, results)
    print("\n" + aligned(targets_table(results["targets"])))
    print(settings.carried)
    for note in results["notes"]:
        print(note)
    run_in_environment(settings.python, "benchmarks.figures", str(path), str(settings.out))
    if options.record:
        record("results", suite_markdown(results), settings.out, ("throughput", "latency"))
    print(f"\n{path} and pictures beside it")
    faults = [row for row in results["medians"] if row["server"] == "servd" and row["faults"]]
    for row in faults:
        print(f"FAULTS: {row['workload']} {row['loop']} {row['connections']}: {row['faults']}")
    return 1 if faults else 0


def paper_command(settings: Settings, options: argparse.Namespace) -> int:
    """`make bench-paper`."""
    results = run_paper(settings)
    path = settings.out / "paper.json"
    write_json(path, results)
    run_in_environment(settings.python, "benchmarks.figures", str(path), str(settings.out))
    text = paper_markdown(results)
    print(text)
    if not options.quick or options.record:
        record("paper", text, settings.out, ("paper",))
    return 0


def soak_command(settings: Settings, options: argparse.Namespace) -> int:
    """Memory over many queries with distinct cache keys."""
    text, has_grown = run_soak(settings, options.queries)
    print(text)
    if options.record:
        record("soak", text, settings.out, ())
    return int(has_grown)


def profile_command(settings: Settings, _options: argparse.Namespace) -> int:
    """`make profile`."""
    return run_profile(settings)


def instructions_command(settings: Settings, options: argparse.Namespace) -> int:
    """Instructions a query."""
    before = Tree.at(options.against) if options.against else None
    text = run_instructions(settings, before)
    print(text)
    if options.record:
        record("instructions", text, settings.out, ())
    return 0


def compare_command(settings: Settings, options: argparse.Namespace) -> int:
    """This checkout beside another one, round by round."""
    if options.against is None:
        raise ServerError("compare needs --against DIR, a checkout in which `make quickstart` ran")
    print(run_comparison(settings, Tree.at(options.against)))
    return 0


def frontend_command(settings: Settings, options: argparse.Namespace) -> int:
    """W1 through `servd frontend`."""
    return tell("frontend", run_front_end_mode(settings), settings, options)


def cluster_command(settings: Settings, options: argparse.Namespace) -> int:
    """What a query costs behind two front ends."""
    return tell("cluster", run_cluster_mode(settings), settings, options)


def many_command(settings: Settings, options: argparse.Namespace) -> int:
    """W1 and W2, or what is asked for, by many front ends."""
    return tell("many", run_many_mode(settings), settings, options)


def files_command(settings: Settings, options: argparse.Namespace) -> int:
    """W8, the picture of 150 kB."""
    del options
    results = run_files_mode(settings)
    write_json(settings.out / "files.json", results)
    print("\n".join(as_lines(results)))
    return 0 if results["is_met"] else 1


def web_command(settings: Settings, options: argparse.Namespace) -> int:
    """Web applications, through the proxy and under uvicorn alone."""
    del options
    results = run_web_mode(settings)
    write_json(settings.out / "web.json", results)
    print("\n".join(web_lines(results)))
    return 0 if all(ratio["is_met"] for ratio in results["ratios"]) else 1


def seldon_command(settings: Settings, options: argparse.Namespace) -> int:
    """A tensor of one row, beside Seldon's own wrapper."""
    del options
    results = run_seldon_mode(settings)
    write_json(settings.out / "seldon.json", results)
    print("\n".join(seldon_lines(results)))
    return 0 if results["is_met"] else 1


def gpu_command(settings: Settings, options: argparse.Namespace) -> int:
    """A network on a GPU."""
    return tell("gpu", run_gpu_mode(settings), settings, options)


def tell(name: str, text: str, settings: Settings, options: argparse.Namespace) -> int:
    """Print a table, and put it into the document where that is asked."""
    print(text)
    if options.record:
        record(name, text, settings.out, ())
    return 0


COMMANDS = {
    "run": suite_command,
    "compare": compare_command,
    "paper": paper_command,
    "soak": soak_command,
    "profile": profile_command,
    "instructions": instructions_command,
    "frontend": frontend_command,
    "cluster": cluster_command,
    "many": many_command,
    "gpu": gpu_command,
    "files": files_command,
    "web": web_command,
    "seldon": seldon_command,
}

if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
