"""Which format a file or folder is of: by its content, whatever it is called."""

import gzip
import json
import os
import pickle
import zipfile

import pytest

from servd.errors import TargetError
from servd.packing.formats import table
from servd.packing.formats.base import Format, Inspected
from servd.packing.formats.peek import HEAD_BYTES, Peek


def skops_file(path, **more):
    """Write what looks like a skops file, with further members."""
    schema = {"__class__": "Ridge", "__module__": "sklearn.linear_model", "content": {}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
        for name, content in more.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["m.pkl", "m.sav", "m.model", "m", "m.onnx", "m.json"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("protocol", [0, 1, 2, 5])
def test_a_pickle_is_one_of_any_name(tmp_path, name, pack, protocol):
    """Of any protocol, compressed or not; one that is text is told where it is not compressed."""
    (tmp_path / name).write_bytes(pack(pickle.dumps([1, 2, {"a": 3}], protocol)))
    if pack is bytes or protocol >= 2 or name == "m.pkl":
        assert table.choose(tmp_path / name, None).name == "pickle"


@pytest.mark.parametrize("name", ["m.skops", "m.pkl", "m.zip", "m"])
def test_a_zip_is_told_by_the_names_in_it(tmp_path, name):
    """Also where it is called as a pickle is."""
    assert table.choose(skops_file(tmp_path / name), None).name == "skops"


def test_two_candidates_are_both_named(tmp_path, monkeypatch):
    """With the option that says which it is."""
    other = Format(
        name="other",
        what="another file",
        detect=lambda peek: "other" in peek.names,
        inspect=lambda _peek, _asked: Inspected(summary=""),
    )
    monkeypatch.setattr(table, "FORMATS", (*table.FORMATS, other))
    path = skops_file(tmp_path / "m.zip", other="")
    with pytest.raises(TargetError, match=r"a skops file \(skops\) and another") as caught:
        table.choose(path, None)
    assert caught.value.hint == "say which it is: --loader skops or --loader other"
    assert table.choose(path, "skops").name == "skops"


def test_a_loader_that_there_is_not_names_the_nearest(tmp_path):
    """Or all that there are."""
    with pytest.raises(TargetError, match="there is no loader 'skop'") as caught:
        table.choose(tmp_path, "skop")
    assert caught.value.hint == "did you mean skops?"


def test_a_folder_is_not_of_a_files_format(tmp_path):
    """Which is said of the option."""
    with pytest.raises(TargetError, match="--loader skops is for a file"):
        table.choose(tmp_path, "skops")


def test_the_models_in_a_folder_are_named(tmp_path):
    """Each as it would be deployed."""
    skops_file(tmp_path / "a")
    (tmp_path / "b").write_bytes(pickle.dumps(1))
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(TargetError, match=r"is a folder with a, b$") as caught:
        table.choose(tmp_path, None)
    both = f"servd deploy {tmp_path.name}/a or servd deploy {tmp_path.name}/b"
    assert caught.value.hint == both


def test_of_a_file_of_five_gigabytes_only_head_and_tail_are_read(tmp_path, monkeypatch):
    """Its size costs nothing."""
    read = []
    real_open = type(tmp_path).open

    def counting(path, *args):
        file = real_open(path, *args)
        read.append(file)
        return file

    path = tmp_path / "big"
    path.touch()
    os.truncate(path, 5 << 30)
    monkeypatch.setattr(type(tmp_path), "open", counting)
    with pytest.raises(TargetError, match="big is"):
        table.choose(path, None)
    peek = Peek(path)
    assert len(peek.head) == HEAD_BYTES
    assert len(read) < 20
