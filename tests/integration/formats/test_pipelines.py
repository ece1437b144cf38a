"""Hugging Face's folders: read without transformers, loaded by it, and the answers compared."""

import json
import shutil

import pytest

from servd.errors import TargetError
from servd.packing.formats import table
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked
from tests import formats


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of Hugging Face's folders, and what pipelines answer by each."""
    folder = tmp_path_factory.mktemp("pipelines")
    return folder, formats.made("pipelines", folder)


@pytest.fixture(scope="module")
def loaded(made, tmp_path_factory):
    """What came of all of them in an environment with transformers."""
    files, told = made
    folder = tmp_path_factory.mktemp("bundles")
    asked, keys = {}, {}
    for name in told:
        given = "feature-extraction" if name == "heads" else None
        task = inspected(files / name, task=given).task
        bundle = formats.bundled(
            folder / name, "transformers", files / name / "config.json", task=task
        )
        asked[bundle], keys[bundle] = told[name][0], name
    unknown = folder / "unknown"
    config = files / "reviews" / "config.json"
    formats.bundled(unknown, "transformers", config, task="mind-reading")
    asked[unknown], keys[unknown] = [], "unknown"
    said = formats.asked(asked, "torch", "transformers")
    return {keys[bundle]: each for bundle, each in said.items()}


@pytest.mark.parametrize("name", ["reviews", "vectors", "masks", "heads", "pictures"])
def test_answers_are_the_pipeline_s_own(made, loaded, name):
    """The task is what the class of the model is for, or what the deployer says."""
    said = loaded[name]
    assert said.get("single") == made[1][name][1], said
    assert said["test"]["state"] == "ok"


def test_a_task_that_there_is_not_is_told(loaded):
    """By its name."""
    assert "no pipeline for 'mind-reading'" in loaded["unknown"]["error"]["message"]


def inspected(path, **asked):
    """Return what a folder says of itself."""
    return table.choose(path, None).inspect(Peek(path), Asked(**asked))


def folder_with(tmp_path, **config):
    """Return a folder with a configuration and something like weights."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"} | config))
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK")
    return tmp_path


@pytest.mark.parametrize("architectures", [[], ["BertForPreTraining"], [3], None])
def test_a_folder_without_a_task_says_so(tmp_path, architectures):
    """With the flag that says it."""
    folder = folder_with(tmp_path, architectures=architectures)
    with pytest.raises(TargetError, match="nothing tells what") as refusal:
        inspected(folder)
    assert "--task text-classification" in refusal.value.hint
    assert inspected(folder, task="fill-mask").task == "fill-mask"


@pytest.mark.parametrize(
    ("architecture", "model_type", "task"),
    [
        ("BertForSequenceClassification", "bert", "text-classification"),
        ("GPT2LMHeadModel", "gpt2", "text-generation"),
        ("LlamaForCausalLM", "llama", "text-generation"),
        ("WhisperForConditionalGeneration", "whisper", "automatic-speech-recognition"),
        ("Wav2Vec2ForSequenceClassification", "wav2vec2", "audio-classification"),
        ("T5ForConditionalGeneration", "t5", "text2text-generation"),
        ("ViTModel", "vit", "image-feature-extraction"),
        ("BertModel", "bert", "feature-extraction"),
    ],
)
def test_a_class_tells_what_it_is_used_for(tmp_path, architecture, model_type, task):
    """By the head in its name."""
    folder = folder_with(tmp_path, architectures=[architecture], model_type=model_type)
    assert inspected(folder).task == task


def test_code_in_a_folder_runs_where_it_is_trusted_only(tmp_path):
    """It is refused before it is sent."""
    more = {"auto_map": {"AutoModel": "evil.Model"}, "architectures": ["BertModel"]}
    folder = folder_with(tmp_path, **more)
    with pytest.raises(TargetError, match="code of its own") as refusal:
        inspected(folder)
    assert "--trust code" in refusal.value.hint
    assert inspected(folder, trust=("code",)).trust == ("code",)


def test_what_is_missing_or_cut_off_is_told(made, tmp_path):
    """Weights that are not there, and weights whose end is not."""
    shutil.copytree(made[0] / "reviews", tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(TargetError, match=r"model\.safetensors is damaged"):
        inspected(tmp_path / "model")
    weights.unlink()
    with pytest.raises(TargetError, match="no weights beside it"):
        inspected(tmp_path / "model")
