"""`python -m benchmarks paper`: the experiments of the NSDI'17 paper again, on this machine.

Each experiment runs servd several times side by side, one daemon a setting, and loads them in turn.
"""

from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.check import CHECK_SLO_MS, check_answers
from benchmarks.daemon import Daemon
from benchmarks.environment import can_serve, inputs_folder
from benchmarks.experiments import EXPERIMENTS, Experiment, Setting, has_controllers
from benchmarks.loadgen import Load, open_point
from benchmarks.machine import describe_machine
from benchmarks.points import Point, medians
from benchmarks.report import Table, machine_text, markdown, print_progress
from benchmarks.settings import Settings
from benchmarks.workloads import WORKLOADS

WARM_UP_S = 2.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting of an experiment, running."""

    setting: Setting
    daemon: Daemon
    load: Load


def run_paper(settings: Settings) -> dict[str, Any]:
    """Run every experiment whose model is among the workloads asked for."""
    figures, notes = [], []
    for experiment in EXPERIMENTS:
        workload = WORKLOADS[experiment.workload]
        if workload.key not in settings.workloads:
            continue
        if not can_serve(workload):
            notes.append(f"{experiment.title}: left out, servd's environment has no scikit-learn")
        elif experiment.needs_controllers and not has_controllers():
            notes.append(f"{experiment.title}: left out, this servd has one controller only (AIMD)")
        else:
            figures.append(run_experiment(experiment, settings))
    return {
        "machine": describe_machine(settings),
        "settings": {"rounds": settings.rounds, "seconds": settings.seconds},
        "figures": figures,
        "notes": notes,
    }


def run_experiment(experiment: Experiment, settings: Settings) -> dict[str, Any]:
    """Return an experiment's medians, a row a setting."""
    workload = WORKLOADS[experiment.workload]
    points: list[Point] = []
    batches: dict[str, float] = {}
    with ExitStack() as stack:
        trials = [start(stack, experiment, each, settings) for each in experiment.settings]
        for trial in trials:
            warm = replace(trial.load, seconds=min(WARM_UP_S, settings.seconds), count=0)
            open_point(trial.daemon, workload, settings, warm, "warm-up")
        for number in range(settings.rounds):
            for trial in trials:
                label = trial.setting.label
                point = open_point(trial.daemon, workload, settings, trial.load, label)
                points.append(replace(point, round=number))
                batches[label] = trial.daemon.replicas()[0]["mean_batch"] or 0.0
                print_progress(f"{experiment.title}, {label}: {point.goodput:,.0f}/s")
    rows = [as_row(row, batches) for row in medians(points)]
    return {
        "title": experiment.title,
        "about": experiment.about,
        "rows": rows,
        "points": [asdict(point) for point in points],
    }


def start(stack: ExitStack, experiment: Experiment, setting: Setting, settings: Settings) -> Trial:
    """Start servd with a setting."""
    workload = WORKLOADS[experiment.workload]
    daemon = stack.enter_context(Daemon(settings, setting.cache))
    daemon.deploy(workload, *setting.options, slo_ms=CHECK_SLO_MS)
    check_answers(daemon, workload, settings)
    daemon.deploy(workload, *setting.options, slo_ms=experiment.slo_ms)
    inputs = inputs_folder(settings.work)
    load = Load(
        experiment.connections,
        rate=experiment.rate,
        seconds=settings.seconds,
        slo_ms=experiment.slo_ms,
        bodies=inputs / setting.bodies if setting.bodies else None,
    )
    return Trial(setting, daemon, load)


def as_row(row: dict[str, Any], batches: dict[str, float]) -> dict[str, Any]:
    """Return what a table and a picture show of a setting."""
    return {
        "setting": row["loop"],
        "rate": row["goodput"],
        "p50_ms": row["p50_ms"],
        "p99_ms": row["p99_ms"],
        "default_share": row["default_share"],
        "cpu_us": row["cpu_us"],
        "mean_batch": batches[row["loop"]],
        "faults": row["faults"],
    }


def paper_markdown(results: dict[str, Any]) -> str:
    """Return the report: a table an experiment."""
    parts = [machine_text(results)]
    for figure in results["figures"]:
        parts.append(f"### {figure['title']}\n\n{figure['about']}\n")
        parts.append(markdown(paper_table(figure["rows"])))
    parts.extend(f"{note}.\n" for note in results["notes"])
    return "\n".join(parts)


def paper_table(rows: list[dict[str, Any]]) -> Table:
    """Return one experiment's table; ratios are to its first row."""
    heads = [
        "setting",
        "good answers/s",
        "ratio",
        "p50 ms",
        "p99 ms",
        "mean batch",
        "defaults",
        "µs CPU",
    ]
    first = rows[0]["rate"] or 1.0
    return [
        heads,
        *(
            [
                row["setting"],
                f"{row['rate']:,.0f}",
                f"{row['rate'] / first:.2f}x",
                f"{row['p50_ms']:.2f}",
                f"{row['p99_ms']:.2f}",
                f"{row['mean_batch']:.1f}",
                f"{row['default_share']:.2%}",
                f"{row['cpu_us']:.1f}",
            ]
            for row in rows
        ),
    ]
