"""What is said of what is no model: what it is, and code that serves it."""

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile

import numpy as np
import pytest

from servd.errors import TargetError
from servd.packing.formats import samples, table

NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def archive(**members):
    """Return a zip with some files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content in members.items():
            made.writestr(name, content)
    return file.getvalue()


def tar():
    """Return a tar archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        made.addfile(tarfile.TarInfo("model.pkl"))
    return file.getvalue()


def arrays(**named):
    """Return NumPy's file of some arrays."""
    file = io.BytesIO()
    np.savez(file, **named)
    return file.getvalue()


def array():
    """Return NumPy's file of an array."""
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def database(tmp_path):
    """Return a database."""
    with sqlite3.connect(tmp_path / "made.db") as made:
        made.execute("CREATE TABLE answers (x)")
    return (tmp_path / "made.db").read_bytes()


KINDS = {
    "a Jupyter notebook": json.dumps(NOTEBOOK).encode(),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(64),
    "a model in Keras' format of before version 3": b"\x89HDF\r\n\x1a\n"
    + bytes(64)
    + b"keras_version"
    + bytes(9),
    "a language model for llama.cpp": b"GGUF\x03\x00\x00\x00" + bytes(32),
    "a TensorFlow Lite model": b"\x1c\x00\x00\x00TFL3" + bytes(64),
    "an array of NumPy": array(),
    "holds arrays of NumPy (W, b)": arrays(W=np.zeros(2), b=np.zeros(1)),
    "a table of data (CSV)": b"age,city\n3,Oslo\n4,Rome\n",
    "a table of data (Parquet)": b"PAR1" + bytes(64) + b"PAR1",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "an object of R": b"RDX3\nX\n" + bytes(64),
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n",
    "a page of the web": b"<!DOCTYPE html>\n<html><body>Sign in</body></html>",
    "compressed with zstandard": b"\x28\xb5\x2f\xfd" + bytes(64),
    "a tar archive": tar(),
    "compressed with gzip: in it is a tar archive": gzip.compress(tar()),
    "compressed with bz2: in it is a table of data": bz2.compress(b"a,b\n1,2\n3,4\n"),
    "compressed with lzma: in it is JSON": lzma.compress(b'{"a": 1}'),
    "a compiled program": b"\x7fELF\x02\x01" + bytes(64),
    "a PDF document": b"%PDF-1.7\n" + bytes(64),
    "a graph of TensorFlow": b"\n\x1d\n\x05input\x12\x0bPlaceholder*\x0b\n\x05dtype\x12\x020\x01",
    "a model of Core ML": b"\x08\x04\x12\x20\n\x10\n\x05input" + bytes(32),
    "JSON, and no model": b'{"learner": 1, "version": [3, 2, 0]}',
    "a text, and no model": b"tree\nversion=hello\n",
    "of no format that servd knows: it begins with": b"\x01\x02\x03\x04" + bytes(64),
    "a zip archive (a.csv, b.txt)": archive(**{"a.csv": "1", "b.txt": "2"}),
    "is damaged: it begins as a zip archive": archive(a="1" * 90)[:60],
    "is empty": b"",
}


@pytest.mark.parametrize("wanted", KINDS)
@pytest.mark.parametrize("name", ["thing", "thing.bin"])
def test_what_a_file_is_is_said(tmp_path, wanted, name):
    """By its content, whatever it is called, with code that is Python."""
    (tmp_path / name).write_bytes(KINDS[wanted])
    with pytest.raises(TargetError) as caught:
        table.choose(tmp_path / name, None)
    assert wanted in caught.value.message
    assert caught.value.message.startswith(name)
    lead, _, code = caught.value.hint.partition("\n\n")
    if lead.startswith("save this"):
        assert "servd deploy serve_thing.py:predict" in lead
        compile(code, "serve_thing.py", "exec")
        assert repr(name) in code or "PIL" in code
        assert 3 < len(code.splitlines()) < 18


def test_a_database_is_one(tmp_path):
    """And no model."""
    (tmp_path / "thing").write_bytes(database(tmp_path))
    with pytest.raises(TargetError, match="a database"):
        table.choose(tmp_path / "thing", None)


@pytest.mark.parametrize(
    "name", [each for each in dir(samples) if each.isupper() and each[0] != "_"]
)
def test_all_code_is_python_and_defines_what_answers(name):
    """Also of files whose name is odd."""
    text = samples.served_by(getattr(samples, name), 'it\'s "odd".x', "inner")
    code = text.partition("\n\n")[2]
    names = compile(code, name, "exec").co_names
    assert "predict" in names


def test_folders_are_told_by_what_is_in_them(tmp_path):
    """Code, TensorFlow's, or nothing."""
    for name, files, message in (
        ("saved", ["saved_model.pb"], "a SavedModel of TensorFlow"),
        ("package", ["__init__.py", "model.py"], "a folder of Python code"),
        ("scripts", ["train.py"], "a folder of Python code"),
        ("nothing", [], "nothing in it"),
        ("others", ["a.txt"], r"of no format that servd knows \(a\.txt\)"),
    ):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("")
        with pytest.raises(TargetError, match=message):
            table.choose(tmp_path / name, None)


def test_a_page_of_many_comments_costs_no_time(tmp_path):
    """No expression goes back and forth over it."""
    (tmp_path / "m").write_bytes(b"<!---->" * 9000 + b"<PMM")
    with pytest.raises(TargetError, match="a text"):
        table.choose(tmp_path / "m", None)
