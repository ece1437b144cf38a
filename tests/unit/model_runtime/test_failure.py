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
