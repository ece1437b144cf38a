"""Build contexts as folders and as tars."""

import configparser
import io
import json
import os
import tarfile
import zipfile

import msgspec
import pytest

from servd.errors import BundleError, ConflictError
from servd.imaging.additions import Additions
from servd.imaging.context import clear, content_of, tar_of, write_context
from servd.registry.snapshot import Registered
from tests.image_specs import APPLICATION, VERSION, make_bundle, spec_of


@pytest.fixture
def bundle(tmp_path):
    """Return the folder of a bundle."""
    return make_bundle(tmp_path / "bundle")


def _files(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_a_replica_gets_the_runtime_and_the_bundle_only(bundle, tmp_path):
    """No part of the daemon is in a replica's image."""
    write_context(spec_of("replica", bundle), tmp_path / "c")
    files = _files(tmp_path / "c")
    assert {"Dockerfile", ".dockerignore", "requirements.txt", "constraints.txt"} <= files
    assert {"bundle/model.json", "bundle/files/f.py", "lib/model_runtime/loop.py"} <= files
    assert not any(name.startswith("lib/servd/") or "__pycache__" in name for name in files)
    lines = (tmp_path / "c/requirements.txt").read_text().splitlines()
    names = [line.split("==")[0] for line in lines]
    assert names == ["msgpack", "pyzmq"]


def test_a_standalone_image_gets_servd_and_its_applications(bundle, tmp_path):
    """The applications file is what `servd serve-one` reads; where it ran before is not in it."""
    write_context(spec_of("standalone", bundle), tmp_path / "c")
    assert {
        "lib/servd/processes/serve_one.py",
        "lib/servd/registry/schema/statements.sql",
    } <= _files(tmp_path / "c")
    found = msgspec.json.decode((tmp_path / "c/applications.json").read_bytes(), type=Registered)
    assert found.applications == [APPLICATION]
    (version,) = found.versions
    assert (version.id, version.replicas, version.created_s) == (VERSION.id, 1, 0.0)


def test_a_front_end_has_no_model(tmp_path):
    """Its image is the same for every registry."""
    write_context(spec_of("frontend"), tmp_path / "c")
    assert not any(name.startswith("bundle") for name in _files(tmp_path / "c"))


def test_equal_content_gives_equal_bytes(bundle, tmp_path):
    """Times, modes and compiled files of the machine are not in a context's tar."""
    tars = []
    for name in ("a", "b"):
        write_context(spec_of("standalone", bundle), tmp_path / name)
        tars.append(io.BytesIO())
        tar_of(tmp_path / name, tars[-1])
        (bundle / "files" / "f.py").chmod(0o600)
        os.utime(bundle / "files" / "f.py", (1, 1))
        (bundle / "files" / "__pycache__").mkdir(exist_ok=True)
        (bundle / "files" / "__pycache__" / "f.pyc").write_bytes(b"")
    assert tars[0].getvalue() == tars[1].getvalue()
    tars[0].seek(0)
    with tarfile.open(fileobj=tars[0]) as archive:
        assert {(m.mtime, m.uid, m.gid) for m in archive} == {(0, 0, 0)}
        assert {m.mode for m in archive if m.isfile()} == {0o644}


def test_a_version_without_files_has_no_image(tmp_path):
    """What was only registered (Clipper's containerless model) cannot be put into an image."""
    with pytest.raises(ConflictError, match="containerless"):
        write_context(spec_of("replica"), tmp_path / "c")


def test_a_damaged_bundle_is_named_before_anything_is_built(bundle, tmp_path):
    """A manifest that is none is an error of the bundle."""
    (bundle / "model.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(BundleError, match="format 99"):
        write_context(spec_of("replica", bundle), tmp_path / "c")


def test_a_folder_of_other_files_is_not_written_into(bundle, tmp_path):
    """An earlier context is replaced whole; other files are refused, or kept where it is forced."""
    folder = tmp_path / "c"
    clear(folder, is_forced=False)
    write_context(spec_of("standalone", bundle), folder)
    (folder / "notes.txt").write_text("mine")
    clear(folder, is_forced=False)
    assert _files(folder) == {"notes.txt"}
    with pytest.raises(ConflictError, match="has not written") as caught:
        clear(folder, is_forced=False)
    assert "--force" in caught.value.hint
    clear(folder, is_forced=True)
    assert _files(folder) == {"notes.txt"}


def test_additions_are_in_the_context_and_in_its_name(bundle, tmp_path):
    """Each makes another image of it, but a password makes none."""
    wheel = tmp_path / "lib-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("lib.py", "")
    (tmp_path / "r.txt").write_text("numpy>=1\n")
    index = "https://{}packages.example/simple"
    every = [
        Additions(),
        Additions(requirements=tmp_path / "r.txt"),
        Additions(wheel=(wheel,)),
        Additions(apt=("libgomp1",)),
        Additions(extra_index=(index.format(""),)),
    ]
    specs = [spec_of("replica", bundle, additions=one) for one in every]
    assert len({content_of(spec) for spec in specs}) == len(every)
    secret = Additions(extra_index=(index.format("me:secret@"),))
    assert content_of(spec_of("replica", bundle, additions=secret)) == content_of(specs[-1])
    write_context(specs[2], tmp_path / "c")
    assert (tmp_path / "c/wheels" / wheel.name).read_bytes() == wheel.read_bytes()
    assert "COPY wheels /opt/servd/wheels" in (tmp_path / "c/Dockerfile").read_text()


def test_a_password_is_in_one_file_only(bundle, tmp_path):
    """Others of the machine cannot read it, and a stage that is thrown away uses it."""
    secret = Additions(extra_index=("https://me:s%23cret@packages.example/simple",))
    write_context(spec_of("standalone", bundle, additions=secret), tmp_path / "c")
    holding = [
        p.name for p in (tmp_path / "c").rglob("*") if p.is_file() and b"cret@" in p.read_bytes()
    ]
    assert holding == ["pip.conf"]
    assert (tmp_path / "c/pip.conf").stat().st_mode & 0o777 == 0o600
    settings = configparser.ConfigParser()
    settings.read(tmp_path / "c/pip.conf")
    assert secret.extra_index[0] in settings["global"]["extra-index-url"]
    stages = (tmp_path / "c/Dockerfile").read_text().split("\nFROM ")
    assert [("pip.conf" in stage) for stage in stages] == [False, False, True, False]
    clear(tmp_path / "c", is_forced=False)
    assert _files(tmp_path / "c") == set()


def test_what_a_model_wrote_beside_itself_gets_into_no_image(tmp_path):
    """The content of an image is what was deployed, as its name and its labels say."""
    bundle = make_bundle(tmp_path / "bundle")
    spec = spec_of("replica", bundle)
    write_context(spec, tmp_path / "before")
    (bundle / "files" / "seen.txt").write_text("written by the model")
    with pytest.raises(BundleError, match=r"iris:1 were changed after they were deployed"):
        write_context(spec, tmp_path / "after")
