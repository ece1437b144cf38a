"""What an owner of a model is told, where their exceptions are out of the ordinary."""

import shutil
from pathlib import Path

import pytest

from model_runtime import failure, loaders, manifest, selftest
from model_runtime.manifest import Manifest

MODELS = Path(__file__).parents[2] / "models"


def failed(folder, name):
    """Deploy tests/models/NAME.py as a function and return how its test call failed."""
    (folder / "files").mkdir()
    shutil.copy(MODELS / f"{name}.py", folder / "files")
    manifest.write(
        Manifest(file=f"{name}.py", loader="python", kind="function", object="predict"), folder
    )
    with pytest.raises(selftest.TestCallError) as caught:
        selftest.test_call(loaders.load(folder), manifest.read(folder), -1)
    return caught.value


def test_an_interrupt_that_a_model_raises_is_its_failure(tmp_path):
    """KeyboardInterrupt is told like any exception and does not end the replica."""
    fault = failed(tmp_path, "interrupts")
    assert fault.message == "test call: KeyboardInterrupt: 1"
    assert 'File "interrupts.py", line' in fault.traceback


def test_a_megabyte_in_an_exception_is_cut(tmp_path):
    """No line of the traceback is longer than two thousand characters."""
    fault = failed(tmp_path, "raises_megabyte")
    assert len(fault.message) < 600
    assert max(map(len, fault.traceback.splitlines())) == 2000
    assert fault.traceback.endswith("z…")


def test_a_module_that_the_installed_version_lacks_is_not_missing(tmp_path):
    """The hint names the version here, and does not ask to install what is installed."""
    import sklearn

    error = ModuleNotFoundError("No module", name="sklearn.linear_model.logistic")
    hint = failure.hint_for(error, tmp_path)
    assert hint.startswith(f"scikit-learn {sklearn.__version__} has no sklearn.linear_model")
    assert "pip install not_here" in failure.hint_for(
        ModuleNotFoundError("No module", name="not_here.sub"), tmp_path
    )


def test_a_model_that_was_never_trained_is_told_so(tmp_path):
    """The hint is to fit it, not to try another input."""
    from sklearn.exceptions import NotFittedError
    from sklearn.linear_model import LinearRegression

    with pytest.raises(NotFittedError) as caught:
        LinearRegression().predict([[1.0]])
    assert "call its fit first" in failure.hint_for(caught.value, tmp_path)
