"""Keras' files: told by their content, loaded, and their answers compared with Keras' own."""

import json
import zipfile

import pytest

from servd.errors import TargetError
from servd.packing.formats import table
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked
from tests import formats


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of Keras' files, and what Keras answers by each."""
    folder = tmp_path_factory.mktemp("keras")
    return folder, formats.made("keras_models", folder)


@pytest.fixture(scope="module")
def loaded(made, tmp_path_factory):
    """What came of all of them in an environment with Keras."""
    files, told = made
    folder = tmp_path_factory.mktemp("bundles")
    asked, keys = {}, {}
    for name, more in (
        ("rows.keras", {}),
        ("pictures.keras", {}),
        ("pair.keras", {}),
        ("lambda.keras", {}),
        ("lambda.keras", {"trust": ("Lambda",)}),
    ):
        key = f"trusted {name}" if more else name
        bundle = formats.bundled(folder / key, "keras", files / name, **more)
        asked[bundle], keys[bundle] = told[name][0], key
    said = formats.asked(asked, "torch", "keras")
    return {keys[bundle]: each for bundle, each in said.items()}


@pytest.mark.parametrize("name", ["rows.keras", "pictures.keras", "pair.keras"])
def test_answers_are_keras_own(made, loaded, name):
    """Bit for bit where a row is asked alone, and its own row of a batch."""
    inputs, wanted = made[1][name]
    said = loaded[name]
    assert said.get("single") == wanted, said
    assert len(said["batch"]) == len(inputs)
    assert said["test"]["state"] == "ok"


def test_code_in_a_file_runs_where_it_is_trusted_only(made, loaded):
    """It is refused where the file is looked at, and again where it is loaded."""
    folder, told = made
    with pytest.raises(TargetError, match="Lambda layer") as refusal:
        inspected(folder / "lambda.keras")
    assert "--trust Lambda" in refusal.value.hint
    assert inspected(folder / "lambda.keras", trust=("Lambda",)).trust == ("Lambda",)
    assert "Lambda" in loaded["lambda.keras"]["error"]["message"]
    assert "--trust Lambda" in loaded["lambda.keras"]["error"]["hint"]
    assert loaded["trusted lambda.keras"]["single"] == told["lambda.keras"][1]


def inspected(path, **asked):
    """Return what a file says of itself."""
    return table.choose(path, None).inspect(Peek(path), Asked(**asked))


def of_json(path, config='{"class_name": "Sequential"}', metadata='{"keras_version": "3.9.0"}'):
    """Return a file of a model's description, without weights of any use."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("metadata.json", metadata)
        archive.writestr("model.weights.h5", "")
    return path


def test_a_file_tells_the_version_that_saved_it(tmp_path):
    """A Keras of another kind is refused before anything is loaded, an older one is said."""
    needs = inspected(of_json(tmp_path / "model")).needs
    assert needs[0].at_least == "3"
    assert needs[0].made_with == "3.9.0"
    assert {needs[1].module, *needs[1].others} == {"torch", "jax", "tensorflow"}


@pytest.mark.parametrize(
    ("config", "metadata"),
    [("{", "{}"), ("[]", "{}"), ("{}", "no"), ("[" * 100_000, "{}")],
)
def test_a_file_whose_description_is_none_is_damaged(tmp_path, config, metadata):
    """It is said which part."""
    with pytest.raises(TargetError, match=r"damaged: its (config|metadata)\.json"):
        inspected(of_json(tmp_path / "model", config, metadata))


@pytest.mark.parametrize("share", [0.3, 0.95])
def test_a_truncated_file_is_refused(made, tmp_path, share):
    """It is said to be damaged."""
    content = (made[0] / "rows.keras").read_bytes()
    path = tmp_path / "rows.keras"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(TargetError, match="damaged"):
        inspected(path)


def test_a_file_without_weights_is_damaged(tmp_path):
    """What it is says which file is missing."""
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential"}))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.9.0"}))
    with pytest.raises(TargetError, match=r"it has no model\.weights\.h5"):
        inspected(path)
