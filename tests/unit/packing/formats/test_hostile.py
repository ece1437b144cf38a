"""Files that were made to do harm where they are looked at: each ends in an error that names it."""

import json
import struct

import pytest

from model_runtime.mlflow_model import checked
from servd.errors import TargetError
from servd.packing import saved_bundle, services
from servd.packing.formats import mlflow, torch_state, transformers
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked

FLAVORS = "flavors: {python_function: {loader_module: mlflow.sklearn}}\n"


@pytest.mark.parametrize("end", ["x", [1], {"a": 1}, None, 4.0])
def test_offsets_that_are_no_numbers_are_told(tmp_path, end):
    """In the head of a file of safetensors."""
    told = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, end]}}
    head = json.dumps(told).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"1234")
    with pytest.raises(TargetError, match="damaged: its head says no offsets"):
        torch_state.FORMAT.inspect(Peek(path), Asked())


@pytest.mark.parametrize("value", ["!!bool x", "!!int ''", "!!float ''", "!!timestamp x"])
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("MLmodel", lambda path: mlflow.FORMAT.inspect(Peek(path.parent), Asked())),
        ("bento.yaml", services._parsed),
        ("bentoml.yml", saved_bundle._parsed),
    ],
)
def test_a_value_that_its_tag_does_not_fit_is_told(tmp_path, value, name, read):
    """Of each description in YAML: PyYAML has no error of its own for these."""
    (tmp_path / name).write_text(f"{FLAVORS}extra: {value}\n")
    with pytest.raises(TargetError, match=r"is damaged: .*no YAML"):
        read(tmp_path / name)


def test_aliases_of_aliases_are_looked_at_once(tmp_path):
    """A description of one kilobyte may name 10**13 values."""
    lines = ["a0: &a0 [" + ", ".join("x" * 10) + "]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 13)]
    lines += ["flavors: {python_function: {loader_module: mlflow.sklearn, data: *a12}}"]
    (tmp_path / "MLmodel").write_text("\n".join(lines))
    assert mlflow.FORMAT.inspect(Peek(tmp_path), Asked()).summary == "MLflow , mlflow.sklearn"


def test_a_path_that_leads_out_is_found_behind_an_alias():
    """Wherever it is named first."""
    shared = {"path": ["../out"]}
    flavour = {"loader_module": "m", "one": shared, "two": shared}
    with pytest.raises(ValueError, match="leads out of its folder"):
        checked({"flavors": {"python_function": flavour}})


@pytest.mark.parametrize("part", ["../../out.safetensors", "/out.safetensors", "a/../../b", 5])
@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_an_index_of_weights_that_leads_out_is_refused(tmp_path, part, ending):
    """What lies elsewhere would be read where the model runs, and is not of its bundle."""
    config = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    name = f"model.{ending}.index.json"
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    (tmp_path / name).write_text(json.dumps({"weight_map": {"a": "model-1.bin", "b": part}}))
    with pytest.raises(TargetError, match=rf"its {name} names .*, which leads out of its folder"):
        transformers.FORMAT.inspect(Peek(tmp_path), Asked())
