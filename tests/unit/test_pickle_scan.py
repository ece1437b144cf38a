"""Pickles are read, never executed."""

import opcode
import os
import pickle
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression

from servd.errors import TargetError
from servd.pickle_scan import scan


@pytest.fixture(scope="module")
def model():
    """Return a small trained model of three features."""
    inputs = np.arange(60, dtype=float).reshape(20, 3)
    return LogisticRegression().fit(inputs, [0, 1] * 10)


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_tells_framework_version_and_features(tmp_path, model, protocol):
    """scikit-learn writes its version and the number of features into the pickle."""
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(model, protocol=protocol))
    found = scan(path)
    assert found.protocol == (protocol if protocol >= 2 else 0)
    assert "sklearn" in found.frameworks
    assert found.sklearn_version == sklearn.__version__
    assert found.row_items == 3
    assert found.compression is None
    assert (found.is_python2, found.needs_main, found.is_joblib) == (False, False, False)


@pytest.mark.parametrize(
    ("compress", "name"),
    [
        (0, None),
        (3, "zlib"),
        (("gzip", 3), "gzip"),
        (("bz2", 3), "bz2"),
        (("lzma", 3), "lzma"),
        (("xz", 3), "lzma"),
    ],
)
def test_every_compression_of_joblib_is_read(tmp_path, model, compress, name):
    """Arrays between the opcodes do not hide the model."""
    path = tmp_path / "m.joblib"
    joblib.dump(model, path, compress=compress)
    found = scan(path)
    assert found.compression == name
    assert found.sklearn_version == sklearn.__version__
    assert found.row_items == 3
    assert "sklearn" in found.frameworks
    assert found.is_joblib


def test_a_truncated_pickle_tells_what_it_has(tmp_path, model):
    """The load will say that it is cut off; the scan does not fail."""
    content = pickle.dumps(model, protocol=4)
    path = tmp_path / "m.pkl"
    path.write_bytes(content[: len(content) // 2])
    assert "sklearn" in scan(path).frameworks


def test_a_truncated_archive_is_damaged(tmp_path, model):
    """A cut gzip file cannot be inflated."""
    path = tmp_path / "m.joblib"
    joblib.dump(model, path, compress=("gzip", 3))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(TargetError, match=r"m\.joblib is damaged"):
        scan(path)


def test_a_malicious_pickle_is_not_executed(tmp_path):
    """Scanning runs nothing that the pickle asks for."""
    witness = tmp_path / "executed"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(witness),)

    path = tmp_path / "evil.pkl"
    for protocol in range(6):
        path.write_bytes(pickle.dumps(Evil(), protocol=protocol))
        scan(path)
    assert not witness.exists()
    pickle.loads(path.read_bytes())
    assert witness.exists()


def test_a_pickle_of_python_2_is_recognised(tmp_path):
    """Its strings have opcodes that Python 3 does not write."""
    path = tmp_path / "old.pkl"
    path.write_bytes(b"(dp0\nS'weights'\np1\n(lp2\nF1.5\nas.")
    assert scan(path).is_python2


def test_a_class_of_the_script_is_noticed(tmp_path):
    """What lies in __main__ is not in the file."""
    path = tmp_path / "m.pkl"
    path.write_bytes(b"\x80\x04\x8c\x08__main__\x94\x8c\x04Mine\x94\x93)\x81.")
    found = scan(path)
    assert found.needs_main
    assert found.frameworks == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello world", "is not a pickle"),
        (b"PK\x03\x04....", "zip archive"),
        (b"\x89HDF....", "HDF5"),
        (b"\x93NUMPY..", "NumPy array"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\x28\xb5\x2f\xfd....", "zstandard"),
        (b"\x04\x22\x4d\x18....", "lz4"),
        (b"\x78\x9cnot zlib", "is damaged"),
        (b"BZh9nothing", "is damaged"),
        (bytes(range(256)), "is not a pickle"),
    ],
)
def test_a_foreign_file_is_named_for_what_it_is(tmp_path, content, message):
    """The message says what the file is, where that shows."""
    path = tmp_path / "m.pkl"
    path.write_bytes(content)
    with pytest.raises(TargetError, match=message):
        scan(path)


def test_a_file_that_cannot_be_read_is_refused():
    """The message says why."""
    with pytest.raises(TargetError, match=r"none\.pkl cannot be read: No such file"):
        scan(Path("/none/none.pkl"))


def test_a_compression_bomb_is_read_to_the_limit_only(tmp_path):
    """What a small file inflates to is looked at up to a limit."""
    path = tmp_path / "bomb.joblib"
    joblib.dump([b"x" * (80 << 20)], path, compress=3)
    assert scan(path).compression == "zlib"


def test_a_function_of_another_python_is_refused(tmp_path):
    """Bytecode runs in the Python that made it only; this Python's own is taken."""
    path = tmp_path / "f.pkl"
    content = cloudpickle.dumps(lambda inputs: [sum(x) for x in inputs])
    path.write_bytes(content)
    assert scan(path).frameworks == ("cloudpickle",)
    resume = bytes((opcode.opmap["RESUME"], 0))
    assert resume in content
    path.write_bytes(content.replace(resume, b"\x74\x00"))
    with pytest.raises(TargetError, match="compiled by another Python") as caught:
        scan(path)
    assert "write it again with Python 3." in caught.value.hint


def test_a_newer_pickle_protocol_is_refused(tmp_path):
    """It is said before anything is loaded, with the protocol to write instead."""
    path = tmp_path / "f.pkl"
    path.write_bytes(b"\x80\x63N.")
    with pytest.raises(TargetError, match=r"newer Python .pickle protocol 99.") as caught:
        scan(path)
    assert f"protocol={pickle.HIGHEST_PROTOCOL}" in caught.value.hint
