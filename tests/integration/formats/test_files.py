"""Files of models as they are deployed: sound and damaged ones, and what they need."""

import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from model_runtime.loaders import skops as skops_loader
from model_runtime.loaders.base import LoadError
from model_runtime.manifest import Manifest
from servd.environments import interpreter
from servd.errors import TargetError
from servd.finding.needs import Place
from servd.packing.kinds import find
from servd.packing.targets import Asked, parse_target
from tests import onnx_graphs

MODEL = LogisticRegression().fit(np.array([[0.0, 1.0], [1.0, 0.0]]), [0, 1])


def _xgboost(path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    data = xgboost.DMatrix(np.eye(2), [0, 1])
    xgboost.train({"objective": "binary:logistic"}, data, 2).save_model(path)


def _lightgbm(path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    data = lightgbm.Dataset(np.random.default_rng(0).random((60, 2)), np.arange(60) % 2)
    lightgbm.train({"verbose": -1}, data, 2).save_model(path)


PMML = """<?xml version="1.0"?><!-- a regression -->
<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/>
<DataDictionary numberOfFields="2"><DataField name="a" optype="continuous" dataType="double"/>
<DataField name="y" optype="continuous" dataType="double"/></DataDictionary>
<RegressionModel functionName="regression"><MiningSchema><MiningField name="a"/>
<MiningField name="y" usageType="target"/></MiningSchema>
<RegressionTable intercept="1.5"><NumericPredictor name="a" coefficient="2.25"/></RegressionTable>
</RegressionModel></PMML>
"""
MAKERS = {
    "m.onnx": onnx_graphs.linear,
    "m.skops": lambda path: skops.io.dump(MODEL, path),
    "m.json": _xgboost,
    "m.ubj": _xgboost,
    "m.txt": _lightgbm,
    "m.pkl": lambda path: path.write_bytes(pickle.dumps(MODEL)),
    "m.joblib": lambda path: joblib.dump(MODEL, path, compress=3),
    "m.pmml": lambda path: path.write_text(PMML),
    "m.cbm": lambda path: path.write_bytes(b"CBM1\x40\x00\x00\x00" + bytes(64)),
}
LOADERS = {
    "m.onnx": "onnx",
    "m.skops": "skops",
    "m.json": "xgboost",
    "m.ubj": "xgboost",
    "m.txt": "lightgbm",
    "m.pkl": "pickle",
    "m.joblib": "pickle",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Return a folder that is the working one, and none of a project."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def deployed(path, place=None, **asked):
    """Return what a file turns out to be."""
    return find(parse_target(str(path)), place=place, asked=Asked(**asked))


def refused(path, place=None, **asked):
    """Return why a file is refused."""
    with pytest.raises(TargetError) as caught:
        deployed(path, place, **asked)
    return caught.value


@pytest.mark.parametrize("file", LOADERS)
@pytest.mark.parametrize("name", ["plain", "m.sav", "m.model", "m.bin", "m.onnx", "m.pkl"])
def test_a_file_is_told_by_its_content(here, file, name):
    """Also under the ending of another format, or none."""
    MAKERS[file](here / file)
    (here / file).rename(here / name)
    found = deployed(name)
    assert found.loader == LOADERS[file]
    assert found.kind == ("pickle" if found.loader == "pickle" else "file")


@pytest.mark.parametrize("file", MAKERS)
def test_a_file_that_is_cut_off_is_damaged(here, file):
    """Which is said before anything is loaded, in the middle and at the end."""
    MAKERS[file](here / file)
    content = (here / file).read_bytes().rstrip()
    for part in (len(content) // 2, len(content) - (40 if file == "m.joblib" else 3)):
        (here / file).write_bytes(content[:part])
        if file == "m.pkl":
            continue  # of which the replica says it: what it has said until then counts
        error = refused(file)
        assert "damaged" in error.message, (part, error.message)


@pytest.mark.parametrize("file", MAKERS)
def test_a_file_that_is_empty_says_so(here, file):
    """Of any format."""
    (here / file).touch()
    assert refused(file).message == f"{file} is empty"


def test_a_zip_of_two_formats_is_asked_about(here):
    """Both are named, with the option that says which it is."""
    skops.io.dump(MODEL, here / "m.zip")
    with zipfile.ZipFile(here / "m.zip", "a") as archive:
        archive.writestr("m/data.pkl", pickle.dumps({}))
        archive.writestr("m/version", "3")
    error = refused("m.zip")
    assert "a skops file (skops)" in error.message
    assert "--loader skops or --loader " in error.hint
    assert deployed("m.zip", loader="skops").loader == "skops"


def test_a_loader_that_does_not_fit_says_what_is_wrong(here):
    """Instead of guessing."""
    MAKERS["m.pkl"](here / "m.pkl")
    for loader, message in {
        "onnx": "m.pkl is damaged",
        "skops": "m.pkl is damaged",
        "xgboost": "m.pkl is not an xgboost model",
        "lightgbm": "m.pkl is not a lightgbm model",
        "catboost": "m.pkl is not a catboost model",
        "pmml": "m.pkl is not PMML",
    }.items():
        assert message in refused("m.pkl", loader=loader).message
    (here / "m.py").write_text("def f(x): return x\n")
    assert "is code" in refused("m.py", loader="onnx").message


def test_json_that_is_nested_too_deep_is_no_model(here):
    """And no traceback."""
    start = '{"learner":{"attributes":'
    (here / "deep.json").write_text(start + "[" * 100_000 + "]" * 100_000 + "}}")
    assert "nested too deep" in refused("deep.json").message
    (here / "plain.json").write_text("[" * 100_000)
    assert "is JSON, and no model" in refused("plain.json").message
    schema = {"schema.json": "[" * 100_000}
    with zipfile.ZipFile(here / "m.skops", "w") as archive:
        archive.writestr(*next(iter(schema.items())))
    assert "damaged" in refused("m.skops").message


def test_a_skops_file_that_skops_cannot_read_is_damaged(here):
    """Which only the replica sees, as what else its parts must have is skops' own affair."""
    skops.io.dump(MODEL, here / "m.skops")
    with zipfile.ZipFile(here / "m.skops") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts["schema.json"])
    del schema["__loader__"]
    parts["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(here / "m.skops", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    manifest = Manifest(loader="skops", file="m.skops", kind="file")
    with pytest.raises(LoadError, match=r"skops cannot read m\.skops \(KeyError"):
        skops_loader.load(manifest, here)


def test_json_of_something_else_is_no_xgboost_model(here):
    """Though it begins as one."""
    (here / "m.json").write_text('{"learner":{"attributes":{}},"version":[3,2,0]}')
    assert refused("m.json").message == "m.json is not an xgboost model: its learner has no booster"


def test_a_zip_bomb_is_not_inflated(here):
    """Not beyond what any file's description has."""
    with zipfile.ZipFile(here / "m.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"[" + b" " * (1 << 28))
    assert "has more than 67108864 bytes" in refused("m.skops").message
    (here / "m.pkl").write_bytes(gzip.compress(bytes(1 << 28)))
    assert "m.pkl is" in refused("m.pkl").message


@pytest.mark.parametrize("size", [5 << 30])
def test_a_sparse_file_costs_nothing(here, size):
    """Whatever is at its head."""
    for name, head in (("a", b""), ("b.onnx", b"\x08\x08"), ("c", b"tree\n"), ("d.pkl", b"")):
        (here / name).write_bytes(head)
        os.truncate(here / name, size)
        assert f"{name} is" in refused(name).message


def test_tensors_beside_a_model_come_along(here):
    """And nothing else does."""
    (here / "model").mkdir()
    onnx_graphs.linear(here / "model" / "m.onnx", location="weights.bin")
    (here / "model" / "other.bin").touch()
    found = deployed("model/m.onnx")
    assert {path.name for path in found.files} == {"m.onnx", "weights.bin"}
    (here / "model" / "weights.bin").unlink()
    assert refused("model/m.onnx").message == "m.onnx needs weights.bin, which is not beside it"


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "a/../../secret"])
def test_tensors_elsewhere_do_not_come_along(here, place):
    """A path of a model leads nowhere but below its folder."""
    (here / "model").mkdir()
    (here / "secret").write_text("s")
    path = onnx_graphs.linear(here / "model" / "m.onnx", location="x" * len(place))
    path.write_bytes(path.read_bytes().replace(b"x" * len(place), place.encode()))
    assert "leads out of the folder" in refused("model/m.onnx").message


def test_a_model_is_known_by_the_name_of_its_link(here):
    """Data stores keep it as a blob without an ending."""
    (here / "store").mkdir()
    onnx_graphs.linear(here / "store" / "blob")
    (here / "m.onnx").symlink_to(here / "store" / "blob")
    found = deployed("m.onnx")
    assert found.files == (here / "m.onnx",)
    (here / "loop").symlink_to(here / "loop")
    assert "loop" in refused("loop").message


def test_a_file_that_may_not_be_read_says_so():
    """By the system's word."""
    with tempfile.TemporaryDirectory() as text:  # above which anybody may look
        folder = Path(text)
        folder.chmod(0o755)
        MAKERS["m.pkl"](folder / "m.pkl")
        (folder / "m.pkl").chmod(0)
        uid = os.geteuid()
        if uid == 0:  # who reads everything
            os.seteuid(65534)
        try:
            message = refused(folder / "m.pkl").message
        finally:
            os.seteuid(uid)
    assert "cannot be read: Permission denied" in message


def test_no_library_is_imported_to_find_out(here):
    """Of any format, in the process that looks at files."""
    for file, make in MAKERS.items():
        make(here / file)
    code = (
        "import sys\nfrom servd.errors import TargetError\nfrom servd.packing.kinds import find\n"
        "from servd.packing.targets import parse_target\n"
        "for name in sys.argv[1:]:\n"
        "    try: find(parse_target(name))\n"
        "    except TargetError as error: assert 'not installed' in str(error), error\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *MAKERS],
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    )
    libraries = {
        "catboost",
        "lightgbm",
        "onnx",
        "onnxruntime",
        "pandas",
        "skops",
        "sklearn",
        "xgboost",
    }
    assert not libraries & set(done.stdout.split())


def test_pipes_and_devices_are_no_models(here):
    """And are not waited for."""
    os.mkfifo(here / "pipe")
    for path in ("pipe", "/dev/zero"):
        assert "but a pipe, a socket or a device" in refused(path).message


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """An environment in which nothing is installed."""
    folder = tmp_path_factory.mktemp("env") / ".venv"
    venv.create(folder, with_pip=False)
    return folder


def _in(folder, cwd):
    return Place(cwd=cwd, interpreter=interpreter.at(folder))


NAMES = {
    "m.onnx": "onnxruntime",
    "m.skops": "skops",
    "m.json": "xgboost",
    "m.ubj": "xgboost",
    "m.txt": "lightgbm",
    "m.cbm": "catboost",
    "m.pmml": "sklearn-pmml-model",
}


@pytest.mark.parametrize("file", NAMES)
def test_a_library_that_is_not_there_is_named(here, empty, file):
    """With the command that installs it there, before anything is loaded."""
    MAKERS[file](here / file)
    place = _in(empty, empty.parent)
    error = refused(file, place)
    assert NAMES[file] in error.message
    assert error.message.endswith("not installed in .venv")
    assert error.hint.startswith("uv pip install --python .venv/bin/python ")
    assert NAMES[file] in error.hint


def _installed(folder, name, version):
    """Make a package that is installed in an environment, as far as that can be seen."""
    series = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / series / "site-packages"
    (site / name).mkdir(exist_ok=True)
    (site / name / "__init__.py").touch()
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{name}/__init__.py,,\n")


def test_a_library_of_another_version_is_said_before(here, tmp_path):
    """One that is too old for the file, or too new; and that it is another than wrote it."""
    venv.create(tmp_path / "env", with_pip=False)
    _installed(tmp_path / "env", "onnxruntime", "1.17.1")
    _installed(tmp_path / "env", "xgboost", "1.7.6")
    place = _in(tmp_path / "env", tmp_path)
    onnx_graphs.linear(here / "new.onnx", opset=21, ir=10)
    error = refused("new.onnx", place)
    assert "has opset 21, ai.onnx.ml 3, IR version 10" in error.message
    assert "onnxruntime 1.17.1 in env does not read: it takes 1.18 or later" in error.message
    assert "'onnxruntime>=1.18'" in error.hint
    onnx_graphs.linear(here / "old.onnx", opset=13, ir=7)
    assert deployed("old.onnx", place).packages == {"onnxruntime": "1.17.1"}
    _xgboost(here / "m.json")
    assert any("this is 1.7.6" in each for each in deployed("m.json", place).remarks)


def test_xgboost_s_old_binary_format_is_said_to_be_read_no_more(here):
    """By 3.1 and later; before, it is."""
    numbers = [0x3F000000, 2, 0, 1, 0, 2, 1, *[0] * 27]
    texts = b"".join(
        len(each).to_bytes(8, "little") + each for each in (b"reg:squarederror", b"gbtree")
    )
    content = b"".join(each.to_bytes(4, "little") for each in numbers) + texts + bytes(64)
    (here / "m.bst").write_bytes(content)
    (here / "n.bst").write_bytes(b"binf" + content)
    venv.create(here / "env", with_pip=False)
    _installed(here / "env", "xgboost", "2.1.4")
    for name in ("m.bst", "n.bst"):
        error = refused(name)
        assert "is in xgboost's old binary format" in error.message
        assert "'xgboost==3.0.*'" in error.hint
        assert deployed(name, _in(here / "env", here)).summary == "xgboost 2.1, binary"


def test_types_in_a_skops_file_are_among_what_it_needs(here, empty):
    """By the distributions that have them."""
    MAKERS["m.skops"](here / "m.skops")
    assert (
        "skops and numpy and scikit-learn" in refused("m.skops", _in(empty, empty.parent)).message
    )
    found = deployed("m.skops", trust=("a.B",))
    assert found.trust == ("a.B",)
    assert found.packages.keys() >= {"skops", "scikit-learn"}


def test_what_was_fitted_on_a_table_needs_what_makes_tables(here, empty):
    """Which is said before it is loaded."""
    pd, xgboost = pytest.importorskip("pandas"), pytest.importorskip("xgboost")
    frame = pd.DataFrame({"a": [0.0, 1.0] * 20, "b": pd.Categorical(["x", "y"] * 20)})
    skops.io.dump(LogisticRegression().fit(frame[["a"]], [0, 1] * 20), here / "m.skops")
    data = xgboost.DMatrix(frame, [0, 1] * 20, enable_categorical=True)
    for file in ("m.json", "m.ubj"):
        xgboost.train({}, data, 2).save_model(here / file)
    for file in ("m.skops", "m.json", "m.ubj"):
        assert "pandas" in refused(file, _in(empty, empty.parent)).message
    _xgboost(here / "plain.json")
    assert "pandas" not in refused("plain.json", _in(empty, empty.parent)).message


def test_a_compressed_pickle_is_read_to_its_end(here):
    """Of each of joblib's ways."""
    for way in ("zlib", "gzip", "bz2", "lzma", "xz"):
        joblib.dump(MODEL, here / way, compress=(way, 3))
        assert deployed(way).packages["scikit-learn"]
        file = io.BytesIO((here / way).read_bytes()[:-40])
        (here / way).write_bytes(file.getvalue())
        assert "damaged" in refused(way).message
