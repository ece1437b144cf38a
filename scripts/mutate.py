#!/usr/bin/env python3
"""Asks whether the tests would notice: changes one place of a file at a time and runs its tests.

    .venv/bin/python scripts/mutate.py engine/batching.py engine/cache.py --sample 30

Called by hand. A mutant that no test notices survives; it is shown with its place. The work tree is
never touched: each job has a copy of it. A test that hangs has noticed. Mutants that change nothing
that can be seen are listed with the reason in scripts/mutants_accepted.toml and do not count.
"""

import argparse
import ast
import contextlib
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.mutants import Mutant, mutants_of  # noqa: E402 - run by its path, it is found above

ACCEPTED = ROOT / "scripts" / "mutants_accepted.toml"
MEMORY_MIB = 6144
"""Of address space for one run: a mutant may well grow for ever."""
HUNG = "a test that hung"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    files: list[str]
    tests: list[str]
    then: list[str]
    sample: int
    seed: int
    jobs: int
    line: int
    is_wide: bool
    shows_killers: bool
    patience_s: float
    tree: Path


@dataclass(slots=True)
class Tally:
    """What became of one file's mutants."""

    path: str
    tests: list[str]
    found: int = 0
    killed: int = 0
    hung: int = 0
    accepted: int = 0
    survivors: list[Mutant] = field(default_factory=list)

    @property
    def percent(self) -> float:
        """How many of the mutants that count have died."""
        total = self.killed + len(self.survivors)
        return 100 * self.killed / total if total else 100.0


class RefusedError(Exception):
    """Nothing was mutated; the message says why."""


def main() -> int:
    """Mutate the files that are named; return 1 where a mutant survives, 2 where none was made."""
    options = _options()
    print(f"seed {options.seed}, {options.jobs} jobs", flush=True)
    try:
        with _copies(options) as copies:
            tallies = [_mutate(path, options, copies) for path in options.files]
    except RefusedError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    _print_table(tallies)
    return 1 if any(tally.survivors for tally in tallies) else 0


def _options() -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="source files, from the root of the repository")
    add("--tests", nargs="+", default=[], help="run these in place of those that import the file")
    add("--then", nargs="+", default=[], help="run these too where the first let a mutant live")
    add("--wide", action="store_true", help="also the tests that import the file through helpers")
    add("--sample", type=int, default=0, help="mutants a file; all without it")
    add("--seed", type=int, default=1, help="which sample (1)")
    add("--line", type=int, default=0, help="only the mutants of this line")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    add("--patience", type=float, default=15, help="seconds beyond 6 times the usual: a hang (15)")
    add("--killers", action="store_true", help="also say which test noticed a mutant")
    add("--tree", type=Path, default=ROOT, help="another checkout of the repository to mutate")
    given = parser.parse_args()
    return Options(
        files=[str(Path(path)) for path in given.files],
        tests=given.tests,
        then=given.then,
        sample=given.sample,
        seed=given.seed,
        jobs=given.jobs,
        line=given.line,
        is_wide=given.wide,
        shows_killers=given.killers,
        patience_s=given.patience,
        tree=given.tree.resolve(),
    )


class Copy:
    """A copy of the tree in which one run at a time takes place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self._pyc = folder / "pyc"

    def fill(self, tree: Path) -> None:
        """Copy what git knows or would add."""
        listed = subprocess.run(
            ["git", "-C", str(tree), "ls-files", "-co", "--exclude-standard", "-z"],
            capture_output=True,
            check=True,
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (tree / name).is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(tree / name, self.tree / name)
        (self.folder / "t").mkdir()

    def write(self, path: str, source: bytes) -> None:
        """Replace a source file; forget its byte code, which may be of the same second."""
        (self.tree / path).write_bytes(source)
        for stale in self._pyc.rglob(f"{Path(path).stem}.*.pyc"):
            stale.unlink()

    def run(self, words: Sequence[str], timeout_s: float) -> tuple[int | None, str]:
        """Return the exit status, None after the timeout, and what was printed."""
        with tempfile.TemporaryFile() as out:
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=self.tree,
                env=self._env(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY_MIB << 20,) * 2)
            try:
                status: int | None = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                # Also what the tests left running.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            out.seek(0)
            return status, out.read().decode(errors="replace")

    def _env(self) -> dict[str, str]:
        return os.environ | {
            "TEST_EXAMPLES": "all",
            "PYTHONPATH": str(self.tree),
            "PYTHONPYCACHEPREFIX": str(self._pyc),
            "TMPDIR": str(self.folder / "t"),
        }


@contextlib.contextmanager
def _copies(options: Options) -> Iterator[list[Copy]]:
    # Short: tests make unix sockets below it.
    with tempfile.TemporaryDirectory(prefix="mu-", ignore_cleanup_errors=True) as folder:
        copies = [Copy(Path(folder) / str(number)) for number in range(max(1, options.jobs))]
        for copy in copies:
            copy.folder.mkdir()
            copy.fill(options.tree)
        yield copies


def _mutate(path: str, options: Options, copies: list[Copy]) -> Tally:
    source = (copies[0].tree / path).read_bytes()
    tally = Tally(path, options.tests or tests_of(path, copies[0].tree, is_wide=options.is_wide))
    if not tally.tests:
        raise RefusedError(
            f"no unit or integration test imports {path}; name some: --tests tests/…"
        )
    stages = [stage for stage in (tally.tests, options.then) if stage]
    usual_s = [_run_unmutated(path, stage, copies[0]) for stage in stages]
    # Generous: other work on the machine must not count as a hang.
    limits = [options.patience_s + 6 * took_s for took_s in usual_s]
    mutants = _chosen(source, options)
    tally.found = len(mutants)
    accepted = _accepted(path)
    counted = [mutant for mutant in mutants if _key(mutant) not in accepted]
    tally.accepted = len(mutants) - len(counted)
    free: SimpleQueue[Copy] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def noticed(mutant: Mutant) -> str:
        copy = free.get()
        try:
            copy.write(path, mutant.applied(source))
            return _noticed(copy, list(zip(stages, limits, strict=True)))
        finally:
            copy.write(path, source)
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        for mutant, by in zip(counted, pool.map(noticed, counted), strict=True):
            _count(tally, mutant, by, shows_killers=options.shows_killers)
    # Where they fail by now, something else has killed some: a new environment, say.
    _run_unmutated(path, tally.tests, copies[0])
    return tally


def _chosen(source: bytes, options: Options) -> list[Mutant]:
    mutants = [m for m in mutants_of(source) if options.line in {0, m.line}]
    if 0 < options.sample < len(mutants):
        picked = random.Random(options.seed).sample(mutants, options.sample)
        return sorted(picked, key=lambda mutant: mutant.start)
    return mutants


def _noticed(copy: Copy, stages: list[tuple[list[str], float]]) -> str:
    """Return who noticed the mutant, or nothing."""
    for tests, limit_s in stages:
        status, said = copy.run(_pytest(tests), limit_s)
        if status is None:
            return HUNG
        if status != 0:
            failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
            return failed[1] if failed else f"exit status {status}"
    return ""


def _count(tally: Tally, mutant: Mutant, by: str, *, shows_killers: bool) -> None:
    if by:
        tally.killed += 1
        tally.hung += by == HUNG
    else:
        tally.survivors.append(mutant)
    if not by or shows_killers:
        fate = f"killed by {by}" if by else "survived"
        print(f"{tally.path}:{mutant.line}: {fate} in {mutant.function}: {mutant.change}")
        print(f"      {mutant.source}", flush=True)


def _pytest(tests: list[str]) -> list[str]:
    words = ["-m", "pytest", "-x", "-q", "--no-header", "-n", "0", "-p", "no:cacheprovider"]
    return [*words, "--hypothesis-seed=0", "--tb=short", *tests]


def _run_unmutated(path: str, tests: list[str], copy: Copy) -> float:
    """Return how long the tests take; refuse where they fail as they stand."""
    module = _module(path)
    where = f"import {module} as m, pathlib; print(pathlib.Path(m.__file__).resolve())"
    status, said = copy.run(["-c", where], 60)
    if status != 0 or Path(said.strip()) != (copy.tree / path).resolve():
        raise RefusedError(f"{module} is not imported from the copy but from {said.strip()}")
    began = time.monotonic()
    status, said = copy.run(_pytest(tests), 1800)
    took_s = time.monotonic() - began
    if status != 0:
        raise RefusedError(f"the tests of {path} fail as they stand ({status}):\n{said[-3000:]}")
    print(f"{path}: {len(tests)} test files, {took_s:.1f} s", flush=True)
    return took_s


def _module(path: str) -> str:
    name = path.removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def tests_of(path: str, tree: Path, *, is_wide: bool) -> list[str]:
    """Return a file's tests of tests/unit and tests/integration: of its name, then by imports."""
    package, _, module = _module(path).rpartition(".")
    # http/x.py has http/test_x.py and http/test_x_more.py, model_runtime/x.py its own folder.
    named_folder = Path(path.removeprefix("servd/")).parent
    found = []
    for rank, folder in enumerate((tree / "tests" / "unit", tree / "tests" / "integration")):
        for test in sorted(folder.rglob("test_*.py")):
            name = str(test.relative_to(tree))
            named = test.parent == folder / named_folder
            named = named and f"{test.stem}_".startswith(f"test_{module}_")
            imported = _imports(test, tree, is_wide=is_wide)
            if named or _module(path) in imported or (package, module) in imported:
                found.append((not named, rank, test.stat().st_size, name))
    return [name for *_, name in sorted(found)]


def _imports(file: Path, tree: Path, *, is_wide: bool) -> set[str | tuple[str, str]]:
    """Return what a file imports: modules, and (module, name); with helpers' imports where wide."""
    files, seen = [file], set()
    found: set[str | tuple[str, str]] = set()
    while files:
        current = files.pop()
        seen.add(current)
        new = _own_imports(current)
        found |= new
        if is_wide:
            modules = {name if isinstance(name, str) else name[0] for name in new}
            helpers = {
                tree / f"{name.replace('.', '/')}.py" for name in modules if name[:6] == "tests."
            }
            helpers |= {folder / "conftest.py" for folder in file.parents if tree in folder.parents}
            files += [helper for helper in helpers - seen if helper.is_file()]
    return found


def _own_imports(file: Path) -> set[str | tuple[str, str]]:
    found: set[str | tuple[str, str]] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {(node.module, alias.name) for alias in node.names}
    return found


def _accepted(path: str) -> set[tuple[str, str, str]]:
    listed = tomllib.loads(ACCEPTED.read_text()).get("mutant", []) if ACCEPTED.exists() else []
    for entry in listed:
        if not entry["reason"].strip():
            raise RefusedError(
                f"{ACCEPTED.name}: {entry['file']} {entry['function']} has no reason"
            )
    return {(e["function"], e["line"], e["change"]) for e in listed if e["file"] == path}


def _key(mutant: Mutant) -> tuple[str, str, str]:
    return mutant.function, mutant.source, mutant.change


def _print_table(tallies: list[Tally]) -> None:
    width = max(len(tally.path) for tally in tallies)
    print(f"\n{'file':{width}}  mutants  accepted  killed  of them hung  survived  killed %")
    total = Tally("all", [])
    for tally in tallies:
        total.found += tally.found
        total.accepted += tally.accepted
        total.killed += tally.killed
        total.hung += tally.hung
        total.survivors += tally.survivors
    for tally in [*tallies, *([total] if len(tallies) > 1 else [])]:
        print(
            f"{tally.path:{width}}  {tally.found:7}  {tally.accepted:8}  {tally.killed:6}  "
            f"{tally.hung:12}  {len(tally.survivors):8}  {tally.percent:7.1f} %"
        )


if __name__ == "__main__":
    sys.exit(main())
