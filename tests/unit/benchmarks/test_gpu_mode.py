"""What the benchmark on a GPU tells, and which inputs it takes; without a GPU."""

import json
import subprocess
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest

from benchmarks import gpu_inputs
from benchmarks.__main__ import main
from benchmarks.environment import MissingToolError
from benchmarks.gpu_inputs import MARGIN, clear_rows, is_clear, random_rows, write_inputs
from benchmarks.gpu_mode import HEADS, TRIALS, Gpu, gpu_of, mean_batch, rows_of
from benchmarks.points import Point
from benchmarks.workloads import ON_GPU

PYTHON = Path("/env/bin/python")


def point(server: str, number: int, rate: float, connections: int = 256) -> Point:
    """Return a point of a round."""
    return Point("G1", server, "closed", connections, number, rate, 18.0, 28.0, 1, 105.4)


def rows(points, batches=None) -> list[dict[str, str]]:
    """Return the table's rows by their heads."""
    return [dict(zip(HEADS, row, strict=True)) for row in rows_of(points, batches or {})]


def test_a_row_holds_medians_and_the_ratio_of_each_round() -> None:
    """A round in which the machine is slow changes both rates: medians alone would mix rounds."""
    points = [
        *(point("servd", n, rate) for n, rate in enumerate((100.0, 10.0, 60.0))),
        *(point("fastapi", n, rate) for n, rate in enumerate((10.0, 1.0, 30.0))),
    ]
    first, second = rows(points, {("servd", 256): [80.0, 84.06, 90.0]})
    assert list(first.values()) == [
        *("256", "servd", "60", "10.00x", "18.00", "28.00", "105", "84.1", "0.00%", "3")
    ]
    assert (second["server"], second["beside fastapi"]) == ("fastapi", "1.00x")
    assert second["mean batch"] == ""


def test_defaults_are_no_answers() -> None:
    """Of 100 answers a second of which 40 are defaults, 60 count, in the rate and in the ratio."""
    late = replace(point("servd", 0, 100.0), default_share=0.4)
    row, _ = rows([late, point("fastapi", 0, 10.0)])
    assert (row["answers/s"], row["beside fastapi"], row["late"]) == ("60", "6.00x", "40.00%")


def test_rows_are_in_the_order_of_connections_and_then_of_servers() -> None:
    """Rounds begin with another server each; a row is held against FastAPI at its connections."""
    points = [
        *(point("servd", 0, rate, count) for count, rate in ((256, 80.0), (32, 50.0))),
        *(point("fastapi", 0, rate, count) for count, rate in ((256, 10.0), (32, 25.0))),
    ]
    some = [(row["conn"], row["server"], row["beside fastapi"]) for row in rows(points)]
    assert some == [
        *(("32", "servd", "2.00x"), ("32", "fastapi", "1.00x")),
        *(("256", "servd", "8.00x"), ("256", "fastapi", "1.00x")),
    ]


def test_a_replica_that_did_nothing_yet_has_a_batch_of_none() -> None:
    """`servd ps` says null of it; the mean is over all replicas."""
    assert mean_batch([{"mean_batch": 12.0}, {"mean_batch": None}]) == 6.0


def test_ways_to_run_servd_have_names_of_their_own() -> None:
    """Points are told apart by the name."""
    assert len({trial.name for trial in TRIALS}) == len(TRIALS)


@pytest.mark.parametrize("scores", [[0.0, 1.0, 1.0 - 2 * MARGIN], [-3.0, -2.0, -3.0]])
def test_a_row_whose_best_class_leads_is_taken(scores: list[float]) -> None:
    """How far the others are apart is of no account."""
    assert is_clear(scores)


@pytest.mark.parametrize("scores", [[0.0, 1.0, 1.0 - MARGIN / 2], [1.0, 0.0, 1.0]])
def test_a_row_near_the_edge_of_two_classes_is_not_taken(scores: list[float]) -> None:
    """A batch of another size may answer with the other class."""
    assert not is_clear(scores)


def test_rows_near_an_edge_are_left_out_and_others_keep_their_class() -> None:
    """Those beyond the number asked for are left out too."""
    edge, first, second = [0.0], [1.0], [2.0]
    known = {0.0: [1.0, 1.0, 0.0], 1.0: [0.0, 1.0, 0.0], 2.0: [0.0, 0.0, 1.0]}
    source = cycle([[edge, first], [second, edge]])
    found = clear_rows(source, lambda some: [known[row[0]] for row in some], 3)
    assert found == ([first, second, first], [1, 2, 1])


def test_files_hold_a_class_for_each_body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies are distinct rows of the width that the network takes."""
    monkeypatch.setattr(gpu_inputs, "AT_ONCE", 2)
    few = replace(ON_GPU, inputs=3)
    monkeypatch.setattr(gpu_inputs, "ON_GPU", few)
    write_inputs(tmp_path, lambda some: [[row[0], row[1]] for row in some])
    bodies = [json.loads(line)["input"] for line in few.bodies(tmp_path).read_text().splitlines()]
    classes = [int(line) for line in few.expected(tmp_path).read_text().splitlines()]
    assert [len(body) for body in bodies] == [784] * 3
    assert len({tuple(body) for body in bodies}) == 3
    assert classes == [int(body[1] > body[0]) for body in bodies]


def test_inputs_are_the_same_each_time() -> None:
    """Runs of other days have the same work."""
    assert next(random_rows())[0] == next(random_rows())[0]


def said(code: int, out: str = "", err: str = "") -> subprocess.CompletedProcess[str]:
    """Return what a process that was asked for the GPU said."""
    return subprocess.CompletedProcess([], code, out, err)


@pytest.mark.parametrize(
    ("done", "reason"),
    [
        (said(1, err="Traceback\nModuleNotFoundError: No module named 'torch'\n"), "'torch'"),
        (said(-11), "it ended with -11"),
    ],
)
def test_an_environment_without_torch_is_named(done, reason: str) -> None:
    """Whoever has none reads what to install, and where."""
    with pytest.raises(MissingToolError) as caught:
        gpu_of(done, PYTHON)
    assert f"gpu needs torch and numpy where {PYTHON} finds them" in str(caught.value)
    assert reason in str(caught.value)


def test_a_torch_without_a_device_is_named() -> None:
    """A torch for processors, or no driver: no figure is better than one of a processor."""
    done = said(0, '{"device": "", "torch": "9.9+cpu"}\n')
    with pytest.raises(MissingToolError, match=r"torch 9\.9\+cpu of .* finds no CUDA device"):
        gpu_of(done, PYTHON)


def test_a_device_is_told_with_torch() -> None:
    """Figures are of both; what torch prints when it is imported is no answer."""
    done = said(0, 'hello\n{"device": "GPU 0", "torch": "9.9"}\n')
    assert gpu_of(done, PYTHON) == Gpu("GPU 0", "9.9")


def test_what_is_missing_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The environment of the baselines takes minutes to make."""

    def ask(python: Path) -> Gpu:
        return gpu_of(said(1, err="no torch"), python)

    work = tmp_path / "work"
    monkeypatch.setattr("benchmarks.__main__.ask_gpu", ask)
    monkeypatch.setattr("benchmarks.__main__.signal.signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["benchmarks", "gpu", "--work", str(work)])
    assert main() == 2
    assert capsys.readouterr().err.startswith("error: gpu needs torch")
    assert not work.exists()
