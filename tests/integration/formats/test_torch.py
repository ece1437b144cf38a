"""PyTorch's formats: told by their content, loaded, and their answers compared with torch's own."""

import shutil
import zipfile
from pathlib import Path

import pytest

from servd.errors import TargetError
from servd.packing.formats import table
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked
from tests import formats


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of PyTorch's files, and what torch answers by each."""
    folder = tmp_path_factory.mktemp("torch")
    told = formats.made("torch_models", folder)
    shutil.copyfile(formats.MAKERS / "net.py", folder / "net.py")
    return folder, told


def test_files_are_told_by_their_content(made):
    """Whatever they are called."""
    folder, _ = made
    for name, wanted in (
        ("scripted.pt", "torchscript"),
        ("traced.pth", "torchscript"),
        ("no_ending", "torchscript"),
        ("any.pt2", "torch_export"),
        ("weights.pt", "torch_state"),
        ("old.pt", "torch_state"),
        ("checkpoint.ckpt", "torch_state"),
        ("weights.safetensors", "torch_state"),
    ):
        assert table.choose(folder / name, None).name == wanted, name


OF_WEIGHTS = {"architecture": "net.py:Net"}
GOOD = {
    "scripted.pt": ("torchscript", {}),
    "traced.pth": ("torchscript", {}),
    "words.pt": ("torchscript", {}),
    "recurrent.pt": ("torchscript", {}),
    "pair.pt": ("torchscript", {}),
    "any.pt2": ("torch_export", {}),
    "one.pt2": ("torch_export", {}),
    "three.pt2": ("torch_export", {}),
    "pictures.pt2": ("torch_export", {}),
    "weights.pt": ("torch_state", OF_WEIGHTS),
    "old.pt": ("torch_state", OF_WEIGHTS),
    "checkpoint.ckpt": ("torch_state", OF_WEIGHTS),
    "weights.safetensors": ("torch_state", OF_WEIGHTS),
    "wide.pt": ("torch_state", {**OF_WEIGHTS, "parameters": {"inputs": 3, "hidden": 5}}),
}
BAD = {
    ("weights.pt", "net.py:Other"): ["lacks last.weight", "class has no second.weight"],
    ("wide.pt", "net.py:Net"): ["first.weight is 5x3 in the file and 8x4 in the class"],
    ("weights.pt", "net.py:nn"): ["'nn' is a module, and no class of torch.nn.Module"],
    ("whole.pt", "net.py:Net"): ["whole.pt holds more than weights", "net.Net"],
    ("hostile.pt", "net.py:Net"): ["hostile.pt holds more than weights", "posix.system"],
}


@pytest.fixture(scope="module")
def loaded(made, tmp_path_factory):
    """What came of all of them in an environment with torch."""
    files, told = made
    folder = tmp_path_factory.mktemp("bundles")
    asked, keys = {}, {}
    for name, (loader, more) in GOOD.items():
        bundle = formats.bundled(folder / name, loader, files / name, **more)
        asked[bundle], keys[bundle] = told[name][0], name
    for at, (name, architecture) in enumerate(BAD):
        bundle = folder / f"bad{at}"
        formats.bundled(bundle, "torch_state", files / name, architecture=architecture)
        asked[bundle], keys[bundle] = [], (name, architecture)
    said = formats.asked(asked, "torch", "torch.export")
    assert not list(folder.rglob("pwned"))
    return {keys[bundle]: each for bundle, each in said.items()}


@pytest.mark.parametrize("name", GOOD)
def test_answers_are_torch_s_own(made, loaded, name):
    """Bit for bit where a row is asked alone, and its own row of a batch."""
    inputs, wanted = made[1][name]
    said = loaded[name]
    assert said.get("single") == wanted, said
    assert len(said["batch"]) == len(inputs)
    assert said["test"]["state"] == "ok"


def test_shapes_and_dtypes_of_an_exported_program_are_its_schema(loaded):
    """A wrong shape, and a number that is no byte, are refused before the model is called."""
    value = loaded["pictures.pt2"]["signature"]["value"]
    assert (value["minItems"], value["items"]["minItems"]) == (1, 6)
    assert value["items"]["items"]["items"] == {"type": "integer", "minimum": 0, "maximum": 255}


def test_inputs_that_are_several_arrays_are_fields(loaded):
    """By the names that the module's own parameters have."""
    assert list(loaded["pair.pt"]["signature"]["fields"]) == ["left", "right"]


@pytest.mark.parametrize(("name", "architecture"), BAD)
def test_weights_that_do_not_fit_are_refused_by_name(loaded, name, architecture):
    """What is missing, what is too much, and what would be run; nothing of it is."""
    message = loaded[name, architecture]["error"]["message"]
    for word in BAD[name, architecture]:
        assert word in message


@pytest.mark.parametrize("name", ["whole.pt", "hostile.pt"])
def test_a_pickle_that_names_more_than_weights_is_refused_before_it_is_sent(made, name):
    """With what it names, and with code that would serve it."""
    folder, _ = made
    with pytest.raises(TargetError, match=r"net\.Net|(posix|nt)\.system") as refusal:
        inspected(folder / name, architecture="net.py:Net")
    assert "which loading it would run" in refusal.value.message
    assert "weights_only=False" in refusal.value.hint


def inspected(path: Path, **asked):
    """Return what a file says of itself."""
    return table.choose(path, None).inspect(Peek(path), Asked(**asked))


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors", "old.pt"])
def test_weights_without_their_class_are_told_with_code_that_would_serve_them(made, name, tmp_path):
    """The code can be saved as it is printed, and runs."""
    folder, told = made
    with pytest.raises(TargetError, match="holds weights") as refusal:
        inspected(folder / name)
    hint = refusal.value.hint
    assert "--class net.py:Net" in hint
    code = hint[hint.index("import torch\n") :]
    assert len(code.splitlines()) <= 14
    for file in (name, "net.py"):
        shutil.copyfile(folder / file, tmp_path / file)
    inputs, wanted = told[name]
    done = formats.run(f"{code}\nprint(predict({inputs[:1]!r}))", tmp_path)
    assert done == f"{wanted[:1]}\n"


def test_a_class_that_is_not_there_is_refused(made):
    """Its file too, and what names none."""
    folder, _ = made
    for given, words in (
        ("nowhere.py:Net", "there is no file nowhere.py"),
        ("Net", "names no class"),
        ("net.py", "names no class"),
    ):
        with pytest.raises(TargetError, match=words):
            inspected(folder / "weights.pt", architecture=given)


@pytest.mark.parametrize(
    "name", ["scripted.pt", "any.pt2", "weights.pt", "old.pt", "weights.safetensors"]
)
@pytest.mark.parametrize("share", [0.3, 0.95])
def test_a_truncated_file_is_refused(made, tmp_path, name, share):
    """It is said to be damaged, or to be of no format, and nothing is loaded."""
    folder, _ = made
    content = (folder / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(len(content) * share)])
    if name == "old.pt" and share > 0.9:
        return  # its end is numbers, which only torch counts
    with pytest.raises(TargetError, match=r"damaged|zip"):
        inspected(path, architecture=str(folder / "net.py:Net"))


def test_a_pickle_that_is_called_safetensors_is_a_pickle(tmp_path):
    """The ending says nothing."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00}\x94.")
    assert table.choose(path, None).name == "pickle"


def test_a_zip_that_is_two_formats_names_both(made, tmp_path):
    """And the flag that chooses."""
    folder, _ = made
    path = tmp_path / "both.pt"
    shutil.copyfile(folder / "scripted.pt", path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", "{}")
    with pytest.raises(TargetError, match=r"TorchScript file .torchscript. and a Keras") as refusal:
        table.choose(path, None)
    assert "--loader torchscript or --loader keras" in refusal.value.hint
    assert table.choose(path, "keras").name == "keras"
