"""Pickles are read, never executed."""

import bz2
import gzip
import io
import lzma
import opcode
import os
import pickle
import sys
import tracemalloc
import zlib
from importlib.metadata import version
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest

from servd.errors import TargetError
from servd.packing.pickle_scan import _runs, _ZlibReader, scan

SKLEARN_VERSION = version("scikit-learn")


def untrained():
    """Return a model of scikit-learn's, which only who runs a test of it imports."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


@pytest.fixture(scope="module")
def model():
    """Return a small trained model of three features."""
    inputs = np.arange(60, dtype=float).reshape(20, 3)
    return untrained().fit(inputs, [0, 1] * 10)


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_tells_framework_version_and_features(tmp_path, model, protocol):
    """scikit-learn writes its version and the number of features into the pickle."""
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(model, protocol=protocol))
    found = scan(path)
    assert found.protocol == (protocol if protocol >= 2 else 0)
    assert "sklearn" in found.frameworks
    assert found.sklearn_version == SKLEARN_VERSION
    assert found.row_items == 3
    assert found.compression is None
    assert (found.is_python2, found.needs_main) == (False, False)


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
    assert found.sklearn_version == SKLEARN_VERSION
    assert found.row_items == 3
    assert "sklearn" in found.frameworks


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
        (b"\x80\x01N\xff\xff", "is not a pickle"),
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


BOMBS = {
    "zlib": zlib.compress,
    "gzip": lambda content: gzip.compress(content, 1),
    "bz2": lambda content: bz2.compress(content, 1),
    "lzma": lambda content: lzma.compress(content, preset=0),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_a_small_file_inflates_to_is_not_kept(tmp_path, monkeypatch, name):
    """Up to a limit it is looked at, a piece at a time; what lies behind the limit is not found."""
    path = tmp_path / "bomb.joblib"
    path.write_bytes(BOMBS[name](pickle.dumps([b"x" * (24 << 20), untrained()], 4)))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    found = scan(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.compression, found.frameworks) == (name, ("sklearn",))
    assert peak < 16 << 20
    monkeypatch.setattr("servd.packing.pickle_scan._READ_LIMIT", 1 << 20)
    found = scan(path)
    assert (found.modules, found.guesses) == ((), ())


@pytest.mark.parametrize("compress", [("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_a_compressed_file_that_is_cut_is_damaged(tmp_path, model, compress):
    """Whatever it is compressed with."""
    path = tmp_path / "m.joblib"
    joblib.dump([model, os.urandom(5000)], path, compress=compress)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(TargetError, match=r"m\.joblib is damaged"):
        scan(path)


@pytest.mark.parametrize("name", BOMBS)
def test_a_compressed_pickle_that_breaks_off_is_searched(tmp_path, model, name):
    """Its end is the end, also where no opcode says so."""
    path = tmp_path / "m.joblib"
    content = pickle.dumps(model, protocol=4)
    path.write_bytes(BOMBS[name](content[:-1]))
    found = scan(path)
    assert (found.compression, "sklearn" in found.frameworks) == (name, True)
    path.write_bytes(BOMBS[name](b"\x80\x02cfirst\nModel\n\xff" + content))
    assert "sklearn.linear_model._logistic" in scan(path).guesses


def test_what_cannot_be_run_is_searched(tmp_path, model, monkeypatch):
    """Where the opcodes break off, names are guessed from the bytes behind, with what they tell."""
    path = tmp_path / "m.pkl"
    for protocol in (2, 4):
        content = pickle.dumps(model, protocol=protocol)
        path.write_bytes(b"\x80\x02cfirst\nModel\n\xff" + content)
        found = scan(path)
        assert found.modules == ("first",)
        assert "sklearn.linear_model._logistic" in found.guesses
        assert found.sklearn_version == SKLEARN_VERSION
        assert found.row_items == 3
    monkeypatch.setattr("servd.packing.pickle_scan._SEARCH_LIMIT", 10)
    assert scan(path).guesses == ()


@pytest.mark.parametrize("count", [3, 300, 70_000])
def test_a_number_of_features_of_any_length_is_found(tmp_path, count):
    """Pickles write whole numbers in one, two or four bytes; also where it is only searched for."""
    path = tmp_path / "m.pkl"
    content = pickle.dumps({"n_features_in_": count, "x": 1}, 2)
    path.write_bytes(content)
    assert scan(path).row_items == count
    path.write_bytes(b"\x80\x02cfirst\nModel\n\xff" + content)
    assert scan(path).row_items == count


@pytest.mark.parametrize("name", ["feature_names_in_", "n_features_in_"])
def test_a_model_of_named_columns_is_known(tmp_path, name):
    """Wherever the names are told: in what is run, and in what is only searched."""
    path = tmp_path / "m.pkl"
    content = pickle.dumps({name: np.array(["a", "b"], object)}, 2)
    for written in (content, b"\x80\x02cfirst\nModel\n\xff" + content):
        path.write_bytes(written)
        assert scan(path).has_columns is (name == "feature_names_in_")


def test_a_booster_may_have_named_columns(tmp_path):
    """Whether it does is told in a format of the library's own."""
    path = tmp_path / "m.pkl"
    path.write_bytes(b"\x80\x02clightgbm.sklearn\nLGBMClassifier\n.")
    assert scan(path).has_columns


def test_of_what_is_said_twice_the_first_counts(tmp_path, model):
    """A pipeline's first step takes the inputs, whatever the later ones take."""
    path = tmp_path / "m.pkl"
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import PolynomialFeatures

    wide = PolynomialFeatures().fit([[1.0, 2.0]])
    path.write_bytes(pickle.dumps(Pipeline([("wide", wide), ("model", model)])))
    assert scan(path).row_items == 2
    path.write_bytes(pickle.dumps([{"_sklearn_version": "1"}, {"_sklearn_version": "2"}]))
    assert scan(path).sklearn_version == "1"
    path.write_bytes(pickle.dumps([{"n_features_in_": True}, {"n_features_in_": "5"}]))
    assert scan(path).row_items is None


def test_modules_are_named_once_and_in_full(tmp_path):
    """Without those of Python itself, of either kind."""
    path = tmp_path / "m.pkl"
    path.write_bytes(
        b"\x80\x02(ca.b\nC\nca.b\nD\nca\nE\ncos.path\njoin\nc__builtin__\nset\nccopy_reg\nx\nt."
    )
    found = scan(path)
    assert found.modules == ("a.b", "a")
    assert found.frameworks == ("a",)
    assert not found.needs_main


def test_an_lz4_file_is_read_where_that_can_be(tmp_path, monkeypatch):
    """With the package that joblib needs for it as well; without, it is named."""
    path = tmp_path / "m.joblib"
    path.write_bytes(b"\x04\x22\x4d\x18" + pickle.dumps(untrained()))

    class Frame:
        """Reads what follows the first bytes, as if it had been compressed."""

        @staticmethod
        def LZ4FrameFile(file):  # noqa: N802
            return io.BufferedReader(io.BytesIO(file.read()[4:]))

    monkeypatch.setitem(sys.modules, "lz4.frame", Frame)
    monkeypatch.setitem(sys.modules, "lz4", Frame)
    found = scan(path)
    assert (found.compression, found.frameworks) == ("lz4", ("sklearn",))


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


def test_lines_count_for_the_limit_too(tmp_path, monkeypatch):
    """Protocol 0 has its arguments in lines; what lies behind the limit is not found."""
    monkeypatch.setattr("servd.packing.pickle_scan._READ_LIMIT", 1000)
    path = tmp_path / "m.joblib"
    path.write_bytes(zlib.compress(b"(cone\nA\nctwo\nB\n" + b"V" * 3000 + b"\ncthree\nC\nt."))
    assert scan(path).modules == ("one", "two")


def test_the_end_of_a_zlib_stream_is_nothing_more():
    """What was packed, then no byte however often one asks."""
    reader = _ZlibReader(io.BytesIO(zlib.compress(b"abcde")))
    buffer = bytearray(3)
    assert [reader.readinto(buffer) for _ in range(4)] == [3, 2, 0, 0]
    assert bytes(buffer) == b"dec"


@pytest.mark.parametrize(
    ("opcode_", "series", "runs"),
    [
        (151, (3, 12), True),
        (149, (3, 13), True),
        (149, (3, 12), False),
        (151, (3, 10), False),
        (120, (3, 10), True),
        (120, (3, 11), False),
        (120, (4, 0), True),
    ],
)
def test_which_python_has_compiled_a_function_is_held_against_the_one_that_is_to_load_it(
    opcode_, series, runs
):
    """Not against servd's own: the model runs in another."""
    assert _runs(bytes((opcode_, 0, 100, 0)), series) is runs
