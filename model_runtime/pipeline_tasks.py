"""What Hugging Face's pipelines are used for, and what they take.

Used where one is looked at, and by its loader.
"""

from __future__ import annotations

from typing import Final

TEXT: Final = "text"
IMAGE: Final = "image"
SOUND: Final = "sound"
OTHER: Final = "other"
CODE: Final = "code"
"""The word by which a deployer lets code in a model's folder run."""

_BY_ENDING: Final = (
    ("ForSequenceClassification", "text-classification"),
    ("ForTokenClassification", "token-classification"),
    ("ForQuestionAnswering", "question-answering"),
    ("ForMaskedLM", "fill-mask"),
    ("ForCausalLM", "text-generation"),
    ("LMHeadModel", "text-generation"),
    ("ForImageClassification", "image-classification"),
    ("ForObjectDetection", "object-detection"),
    ("ForSemanticSegmentation", "image-segmentation"),
    ("ForImageSegmentation", "image-segmentation"),
    ("ForUniversalSegmentation", "image-segmentation"),
    ("ForDepthEstimation", "depth-estimation"),
    ("ForAudioClassification", "audio-classification"),
    ("ForSpeechSeq2Seq", "automatic-speech-recognition"),
    ("ForCTC", "automatic-speech-recognition"),
)
"""Of the head that a model's class has in its name; `text2text-generation` is what others do that
generate, and `feature-extraction` what a class without a head is used for."""
_LISTENS: Final = ("whisper", "wav2vec2", "hubert", "wavlm", "speech", "audio")
_SEES: Final = (
    "vit",
    "swin",
    "resnet",
    "convnext",
    "beit",
    "deit",
    "dino",
    "clip_vision",
    "siglip",
)

_TEXTS: Final = frozenset(
    {
        *("text-classification", "sentiment-analysis", "token-classification", "ner", "fill-mask"),
        *("text-generation", "text2text-generation", "summarization", "translation"),
        "feature-extraction",
    }
)
_IMAGES: Final = frozenset(
    {
        *("image-classification", "object-detection", "image-segmentation", "depth-estimation"),
        *("image-feature-extraction", "image-to-text", "mask-generation", "image-to-image"),
    }
)
_SOUNDS: Final = frozenset({"audio-classification", "automatic-speech-recognition"})


def task_of(architecture: str, model_type: str) -> str | None:
    """Return what a class of models is used for; None where its name does not tell."""
    is_heard = any(word in model_type for word in _LISTENS)
    for ending, task in _BY_ENDING:
        if architecture.endswith(ending):
            is_sound = is_heard and task == "text-classification"
            return "audio-classification" if is_sound else task
    if architecture.endswith("ForConditionalGeneration"):
        return "automatic-speech-recognition" if is_heard else "text2text-generation"
    if architecture.endswith("Model") and not is_heard:
        is_seen = any(model_type.startswith(word) for word in _SEES)
        return "image-feature-extraction" if is_seen else "feature-extraction"
    return None


def kind_of(task: str) -> str:
    """Return what a pipeline takes: TEXT, IMAGE, SOUND or OTHER."""
    if task in _TEXTS or task.startswith("translation_"):
        return TEXT
    if task in _IMAGES:
        return IMAGE
    return SOUND if task in _SOUNDS else OTHER
