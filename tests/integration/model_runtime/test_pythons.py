"""Tests of model_runtime in each Python that is here: all files are compiled and imported."""

import subprocess
import sys
from pathlib import Path

import pytest

import model_runtime
from tests import interpreters

FOLDER = Path(model_runtime.__file__).parents[1]
FOR_LIBRARIES = (
    *("model_runtime.loaders.", "model_runtime.web.", "model_runtime.admission"),
    *("model_runtime.probe", "model_runtime.zmq_listener"),
)
"""Some of these are for a library, which they import; the others need none."""

_ALL = """
import importlib, sys, warnings
from pathlib import Path
warnings.simplefilter("error")
folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
sys.dont_write_bytecode = True
for path in sorted((folder / "model_runtime").rglob("*.py")):
    compile(path.read_bytes(), str(path), "exec")
    name = ".".join(path.relative_to(folder).with_suffix("").parts)
    try:
        importlib.import_module(name.replace(".__init__", ""))
    except ModuleNotFoundError as error:
        print("lacks", name, error.name)
    except ImportError as error:
        print("fails", name, error)
print("all")
"""


@pytest.mark.parametrize("series", interpreters.others())
def test_every_module_is_imported(series: str) -> None:
    """In a Python without packages all are, but those that are for a library."""
    python = interpreters.find(series)
    assert python is not None
    said = subprocess.run(
        [python, "-I", "-S", "-c", _ALL, FOLDER],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert said.returncode == 0, said.stderr
    *told, last = said.stdout.splitlines()
    assert last == "all"
    lacking = [line.split()[1:] for line in told if line.startswith("lacks")]
    assert not [name for name, _ in lacking if not name.startswith(FOR_LIBRARIES)], told
    assert not sys.stdlib_module_names.intersection(library for _, library in lacking), told
    assert not [line for line in told if line.startswith("fails")]
