"""Every example's README, run command by command."""

import math
import shutil
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.e2e.console import run_page

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(page.parent.name for page in (ROOT / "examples").glob("*/README.md"))


@pytest.fixture
def example_dir(request: pytest.FixtureRequest, idle_daemon: Daemon) -> Path:
    """Return a fresh copy of the example's folder: training must work where nothing was trained."""
    name: str = request.param
    copy = idle_daemon.data_dir.parent / name
    shutil.copytree(
        ROOT / "examples" / name,
        copy,
        ignore=shutil.ignore_patterns("*.pkl", "*.pickle", "__pycache__", "*.csv"),
    )
    return copy


@pytest.mark.parametrize("example_dir", EXAMPLES, indirect=True)
def test_example_works_as_its_readme_says(idle_daemon: Daemon, example_dir: Path) -> None:
    """Each command of an example's README succeeds and each answer is the one shown."""
    assert run_page(example_dir / "README.md", idle_daemon, example_dir) > 0


def test_there_is_a_readme_for_each_example() -> None:
    """All examples are found, so none is silently left out of the test above."""
    assert set(EXAMPLES) == {
        *(
            "bento_iris",
            "booster",
            "clipper_tutorial",
            "columns",
            "course_fastapi",
            "credit_course",
        ),
        *("flask_score", "iris", "kidney", "litserve_squares", "seldon_score", "streaming"),
    }


def test_answer_is_a_number_though_the_function_returns_text(daemon: Daemon) -> None:
    """An output text that is valid JSON is nested as JSON: "6.6" becomes 6.6."""
    target = ROOT / "examples" / "clipper_tutorial" / "func.py"
    done = daemon.cli("deploy", f"{target}:feature_sum")
    assert done.returncode == 0, done.stderr
    status, answer = daemon.query("/feature_sum/predict", {"input": [1.1, 2.2, 3.3]})
    assert status == 200
    assert answer["output"] == 6.6
    assert answer["default"] is False


def test_kidney_table_is_read_as_the_public_file_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Gaps, question marks, stray tabs and words of the public CSV become numbers or NaN."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "kidney"))
    import table

    cells = dict.fromkeys(table.COLUMNS, "") | {
        "age": "48.0",
        "pcv": "\t43",
        "wc": "\t?",
        "rbc": "abnormal",
        "dm": " yes",
        "cad": "\tno",
    }
    path = tmp_path / "kidney_disease.csv"
    header = ["id", *cells, "classification"]
    path.write_text(f"{','.join(header)}\n0,{','.join(cells.values())},ckd\t\n")
    rows, labels = table.read_csv(path)
    row = dict(zip(table.COLUMNS, rows[0], strict=True))
    assert labels == [1]
    known = {name: value for name, value in row.items() if not math.isnan(value)}
    assert known == {"age": 48.0, "pcv": 43.0, "rbc": 1.0, "dm": 1.0, "cad": 0.0}
