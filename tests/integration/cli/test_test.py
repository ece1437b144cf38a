"""`servd test`, without a daemon."""

import json

import pytest


@pytest.fixture
def file(tmp_path, data_dir, monkeypatch):  # noqa: ARG001 - nothing may be started on it
    """Return a file with a function, in the working directory."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "func.py"
    file.write_text("def ratio(a: float, b: float = 2.0) -> float:\n    return a / b\n")
    return file


def test_a_model_is_loaded_tested_and_asked(run, file):
    """In lines for people; no daemon is there, and none afterwards."""
    done = run("test", "func.py:ratio", '{"a": 3}', '{"a": 1, "b": 4}', "--example", '{"a": 8}')
    assert done.exit_code == 0, done.output
    assert '{"a": 8} -> 4.0' in done.stdout
    assert '{"a": 3} → 1.5' in done.stdout
    assert '{"a": 1, "b": 4} → 0.25' in done.stdout
    assert run("status").exit_code == 3
    assert file.exists()


def test_the_document_has_the_signature_the_test_and_the_answers(run, file):  # noqa: ARG001
    """For programs."""
    done = run("test", "--json", "func.py:ratio", '{"a": 3}')
    document = json.loads(done.stdout)
    assert document["input_type"] == "rows"
    assert document["test"]["state"] == "ok"
    assert document["answers"][0]["output"] == 1.5
    assert document["files"][0]["name"] == "func.py"


def test_what_the_model_raises_is_an_error_with_its_input(run, file):  # noqa: ARG001
    """And the exit code is 1; what it has answered before stands there."""
    done = run("test", "func.py:ratio", '{"a": 3}', '{"a": 1, "b": 0}')
    assert done.exit_code == 1
    assert '{"a": 3} → 1.5' in done.stdout
    assert '{"a": 1, "b": 0}: ZeroDivisionError: float division by zero' in done.stderr
    assert "return a / b" in done.stderr


def test_a_web_application_is_not_called(run, file):
    """It has no inputs."""
    file.write_text("async def app(scope, receive, send): pass\n")
    done = run("test", "func.py:app")
    assert done.exit_code == 1
    assert "is a web application, which is not called" in done.stderr


def test_a_model_that_does_not_load_is_said_as_deploy_says_it(run, file):
    """With the traceback of its author's frames."""
    file.write_text("raise ValueError('broken here')\n")
    done = run("test", "func.py:ratio")
    assert done.exit_code == 1
    assert "broken here" in done.stderr
