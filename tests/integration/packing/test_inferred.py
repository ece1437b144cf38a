"""What a target needs is inferred from what it imports and from what its pickles say."""

import pickle
import sys
from dataclasses import replace

import pytest

from servd.environments.interpreter import own
from servd.errors import TargetError
from servd.finding.needs import Place
from servd.packing import inferred
from servd.packing.targets import Asked, Made, Target, parse_target

CODE = """
import os, json
import click
import PIL.Image
from typing import TYPE_CHECKING
import helpers
try:
    import optional_thing
except ImportError:
    optional_thing = None
if TYPE_CHECKING:
    import only_for_types
def predict(xs):
    import yaml
    return xs
"""


def lines_of(folder, name, **more):
    """Return what is inferred of a file of a project."""
    interpreter = replace(own(), **more) if more else own()
    place = Place(cwd=folder, interpreter=interpreter)
    return inferred.infer(parse_target(str(folder / name)), place, Asked())


def test_imports_become_distributions_with_the_versions_that_are_there(tmp_path):
    """Also those of local modules and inside functions; not what the code does without."""
    (tmp_path / "model.py").write_text(CODE)
    (tmp_path / "helpers.py").write_text("import cv2\n")
    found = lines_of(tmp_path, "model.py").lines
    version = own().version_of
    assert found == (
        f"click=={version('click')}",
        "opencv-python-headless",
        f"pillow=={version('pillow')}" if version("pillow") else "pillow",
        f"pyyaml=={version('PyYAML')}",
    )


class Estimator:
    """Stands for a model of another version: pickled by name, with its version in the state."""

    def __init__(self, version):
        self.state = {"_sklearn_version": version, "n_features_in_": 4}

    def __reduce__(self):
        return (_named("sklearn.linear_model", "LinearRegression"), (), self.state)


def _named(module, name):
    """Return a class that is pickled under another module's name."""
    stand_in = type(name, (), {"__module__": module})
    sys.modules.setdefault(module, type(sys)(module))
    setattr(sys.modules[module], name, stand_in)
    return stand_in


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Return what writes a pickle of a scikit-learn of some version, and its name."""

    def save(version, name="model.pkl"):
        for module in ("sklearn", "sklearn.linear_model"):
            monkeypatch.setitem(sys.modules, module, type(sys)(module))
        (tmp_path / name).write_bytes(pickle.dumps(Estimator(version)))
        return name

    return save


@pytest.mark.parametrize(
    ("version", "lines", "python"),
    [
        ("1.2.2", {"scikit-learn==1.2.*", "numpy<2"}, "3.11"),
        ("1.0", {"scikit-learn==1.0.*", "numpy<2"}, "3.10"),
        ("1.3.2", {"scikit-learn==1.3.*", "numpy<2"}, "3.12"),
        ("1.5.1", {"scikit-learn==1.5.*"}, "3.13"),
        ("1.99.0", {"scikit-learn==1.99.*"}, ""),
    ],
)
def test_a_pickle_asks_for_what_it_was_made_with(tmp_path, saved, version, lines, python):
    """With a NumPy that goes with it, and of a Python that has it."""
    found = lines_of(tmp_path, saved(version))
    assert (set(found.lines), found.at_most_python) == (lines, python)
    assert version in found.why


def test_a_pickle_that_code_opens_counts_as_well(tmp_path, saved):
    """Code that only unpickles imports nothing of what it needs."""
    name = saved("1.2.2", "inner.pkl")
    (tmp_path / "m.py").write_text(
        f"import pickle, pathlib\nM = pathlib.Path(__file__).with_name({name!r})\n"
        "def predict(xs):\n    return pickle.loads(M.read_bytes()).predict(xs)\n"
    )
    assert "scikit-learn==1.2.*" in lines_of(tmp_path, "m.py").lines


def test_what_no_python_has_is_refused_before_anybody_is_asked(tmp_path, saved):
    """A release that is older than any Python that models run in."""
    with pytest.raises(TargetError, match=r"scikit-learn 0\.19\.1, which there is for no Python"):
        lines_of(tmp_path, saved("0.19.1"))


def test_a_function_of_a_running_program_needs_what_it_uses(tmp_path):
    """Its pickle has the names of modules as texts only."""
    content = tmp_path / "object.pkl"
    content.write_bytes(pickle.dumps({"a": 1}))
    modules = ("click.core", "json", "os.path", "mine")
    (tmp_path / "mine.py").write_text("import yaml\n")
    loaded = {"mine": tmp_path / "mine.py"}
    made = Made(content=content, kind="function", name="f", modules=modules, loaded=loaded)
    target = Target(tmp_path / "f.pkl", "f", made)
    lines = inferred.infer(target, Place(cwd=tmp_path), Asked()).lines
    version = own().version_of
    assert lines == (f"click=={version('click')}", f"pyyaml=={version('PyYAML')}")
