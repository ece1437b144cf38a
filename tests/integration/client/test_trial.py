"""Models called as a replica calls them, without a daemon: servd.testing."""

import subprocess
import sys

import pytest

from servd import testing
from servd.environments.interpreter import at
from servd.errors import LoadFailedError, TargetError
from tests import interpreters

FACTOR = 3.0


def tripled(xs):
    """Answer three times the sums; refuse what is below zero."""
    if any(sum(x) < 0 for x in xs):
        raise ValueError("below zero")
    return [float(sum(x) * FACTOR) for x in xs]


def of_parts(a: float, b: str = "x") -> str:
    """Answer the text so often."""
    return b * int(a)


def counted(n: int):
    """Yield the numbers up to one."""
    yield from range(n)


def ended(xs):
    """End the process at the second input."""
    import os

    if xs[0] == [9.0]:
        os._exit(7)
    return [0 for _ in xs]


def test_a_function_answers_as_a_replica_would():
    """By its parameters, with its defaults, several in one call, a stream as a list."""
    with testing.loaded(tripled) as model:
        assert model.test["state"] == "ok"
        assert model.predict([1.0, 2.0]) == 9.0
        assert model.predict_batch([[1.0], [2.0]]) == [3.0, 6.0]
    with testing.loaded(of_parts, example={"a": 2}) as model:
        assert model.signature["input_type"] == "rows"
        assert model.predict({"a": 2}) == "xx"
        assert model.test["output"] == "xx"
    with testing.loaded(counted) as model:
        assert model.predict({"n": 3}) == [0, 1, 2]


def test_a_file_is_a_target_too(tmp_path):
    """With what it prints out of the way, and its modules along."""
    (tmp_path / "words.py").write_text("WORD = 'so'\n")
    file = tmp_path / "said.py"
    file.write_text(
        "import words\ndef said(xs: list[str]) -> list[str]:\n"
        "    print('{\"outcomes\": []}')\n    return [f'{words.WORD} {x}' for x in xs]\n"
    )
    with testing.loaded(f"{file}:said") as model:
        assert model.predict("much") == "so much"


def test_what_a_model_raises_is_raised_with_its_traceback():
    """Of an input that is wrong its part is said; the model goes on."""
    with testing.loaded(tripled) as model:
        with pytest.raises(testing.ModelError, match="ValueError: below zero") as told:
            model.predict([-1.0])
        assert "raise ValueError" in told.value.traceback
        outcomes = model.outcomes([[1.0], [-1.0]])
        assert outcomes[0] == {"output": 3.0}
        assert "below zero" in outcomes[1]["error"]["message"]
        assert model.predict([1.0]) == 3.0
    with testing.loaded(of_parts) as model:
        with pytest.raises(testing.ModelError, match="lacks 'a'") as told:
            model.predict({"b": "y"})
        assert told.value.is_input
        assert told.value.traceback == ""


def test_what_does_not_load_is_said_as_a_deployment_says_it():
    """A failing test call, an option that is none, a process that ends or hangs."""
    with (
        pytest.raises(LoadFailedError, match="below zero") as told,
        testing.loaded(tripled, example=[-1.0]),
    ):
        pass
    assert "raise ValueError" in told.value.traceback
    with pytest.raises(TypeError, match="no option slo_ms"), testing.loaded(tripled, slo_ms=5):
        pass
    with (
        pytest.raises(TargetError, match="cannot be called"),
        testing.loaded(5),
    ):
        pass
    with (
        testing.loaded(ended) as model,
        pytest.raises(LoadFailedError, match=r"has ended \(exit code 7\)"),
    ):
        model.predict([9.0])
    with (
        pytest.raises(LoadFailedError, match="nothing came of it within"),
        testing.loaded("tests/models/hangs.py:predict", timeout_s=3.0, skip_test=True) as model,
    ):
        model.predict([1.0])


def test_the_fixtures_are_what_the_page_says(tmp_path):
    """A test file of a user's, run by pytest: a model by itself, and behind a daemon."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["servd.testing.plugin"]\n')
    (tmp_path / "func.py").write_text("def doubled(xs):\n    return [sum(x) * 2.0 for x in xs]\n")
    (tmp_path / "test_func.py").write_text(
        "import func\n"
        "def test_alone(servd_model):\n"
        "    model = servd_model(func.doubled, example=[1.0])\n"
        "    assert model.predict([2.0, 3.0]) == 10.0\n"
        "def test_served(servd_client):\n"
        "    servd_client.deploy('func.py:doubled', slo_ms=10_000)\n"
        "    assert servd_client.predict('doubled', [2.0]).output == 4.0\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("series", interpreters.others()[-1:])
def test_what_an_environment_prints_as_it_starts_is_no_answer(tmp_path, series):
    """Neither where the target is looked at nor where its model is called."""
    python = interpreters.make_environment(tmp_path / "env", series)
    (at(python).sys_path[-1] / "loud.pth").write_text(
        "import sys; print('hello'); print(1); print('{}')\n"
    )
    file = tmp_path / "sums.py"
    file.write_text("def sums(xs):\n    return [sum(x) for x in xs]\n")

    with testing.loaded(f"{file}:sums", env=f"venv:{python.parent.parent}") as trial:
        assert trial.predict([1.0, 2.0]) == 3.0
