"""What an image has of its model's environment."""

from importlib import metadata
from pathlib import Path

import pytest

from model_runtime.manifest import Manifest
from servd.environments.lock import compose
from servd.errors import BundleError, ConflictError
from servd.imaging.environment import check_serves, origins_of, python_of


def manifest(**environment):
    """Return the manifest of a model of some environment."""
    return Manifest(
        loader="python",
        file="m.py",
        kind="function",
        object="f",
        packages={"alpha": "1.0"},
        environment=environment or None,
    )


def bundle_of(folder, *pins, python="3.12.1", **more):
    """Write the lock of a bundle."""
    lock = compose(pins, python, **{"wheels": {}, **more})
    (folder / "environment.lock").write_text(lock.text)
    return folder


def test_a_lock_counts_before_what_was_found(tmp_path):
    """With the indexes that it names, and without folders that an image has not."""
    options = ("--index-url=https://example.org/simple", f"--find-links={tmp_path}", "--no-index")
    bundle = bundle_of(tmp_path, "alpha==2.0", "numpy==2.1.0", options=options)
    (tmp_path / "numpy-2.1.0-cp312-none-any.whl").write_bytes(b"")
    (tmp_path / "numpy-2.0.0-cp312-none-any.whl").write_bytes(b"")
    found = origins_of(manifest(python="3.12.1", lock="environment.lock"), bundle, tmp_path)
    assert found.pins == {"alpha": "2.0", "numpy": "2.1.0"}
    assert found.options == ("--index-url=https://example.org/simple",)
    assert found.wheels == {"numpy": tmp_path / "numpy-2.1.0-cp312-none-any.whl"}


def test_what_comes_from_no_index_has_to_be_here(tmp_path):
    """It is kept by its digest where environments are made."""
    digest = "a" * 64
    bundle = bundle_of(tmp_path, "ours==1", wheels={digest: "ours-1-py3-none-any.whl"})
    told = manifest(python="3.12.1", lock="environment.lock")
    with pytest.raises(BundleError, match="ours-1-py3-none-any"):
        origins_of(told, bundle, tmp_path / "environments")
    kept = tmp_path / "environments" / "wheels" / digest / "ours-1-py3-none-any.whl"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"")
    assert origins_of(told, bundle, tmp_path / "environments").wheels == {"ours": kept}


def test_what_servd_needs_is_left_to_pip_where_its_version_is_for_another_python(tmp_path):
    """An image of Python 3.9 cannot have the msgpack that only later ones can."""
    told = manifest(python="3.0.0", lock="environment.lock")
    found = origins_of(told, bundle_of(tmp_path, "alpha==2.0", python="3.0.0"), tmp_path)
    assert set(found.unpinned) == {"msgpack", "pyzmq"}
    assert found.lookup("msgpack") is None
    same = manifest(python="3.99.0", lock="environment.lock")
    found = origins_of(same, tmp_path, tmp_path)
    assert found.unpinned == ()
    assert found.lookup("msgpack")[0] == metadata.version("msgpack")


def test_an_environment_that_has_gone_leaves_what_was_found_in_it(tmp_path):
    """The image can be built all the same, and elsewhere."""
    told = manifest(python="3.12.1", interpreter="/gone/bin/python")
    assert origins_of(told, tmp_path, tmp_path).pins == {"alpha": "1.0"}
    assert python_of(told) == "3.12.1"
    assert python_of(manifest()) == ""
    assert origins_of(manifest(), tmp_path, Path()).pins == {"alpha": "1.0"}
    assert origins_of(None, None, Path()).pins == {}


def test_an_image_that_answers_by_itself_needs_servds_own_python():
    """A replica's does not."""
    check_serves("3.11.0", "m:1")
    check_serves("", "m:1")
    with pytest.raises(ConflictError, match=r"m:1 runs in Python 3\.9\.18"):
        check_serves("3.9.18", "m:1")
