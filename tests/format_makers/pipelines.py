"""Makes Hugging Face folders in a folder: `python pipelines.py FOLDER`, with transformers.

Prints a JSON object of each model's inputs and what a pipeline itself answers to each of them.
"""

import base64
import io
import json
import sys
from pathlib import Path

import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "a", "was", "it"]
SMALL = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
TEXTS = ["a good film", "it was bad"]


def tokenizer():
    """Return one that knows a few words."""
    made = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = {name: f"[{name[:-6].upper()}]" for name in ("pad_token", "unk_token", "mask_token")}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **named)


def picture():
    """Return the bytes of a picture as base64 text."""
    content = io.BytesIO()
    Image.new("RGB", (20, 20), (200, 10, 30)).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def main():
    """Make all of them."""
    folder = Path(sys.argv[1])
    torch.manual_seed(0)
    words = tokenizer()
    config = transformers.BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, **SMALL)
    for name, kind in (
        ("reviews", transformers.BertForSequenceClassification),
        ("vectors", transformers.BertModel),
        ("masks", transformers.BertForMaskedLM),
        ("heads", transformers.BertForPreTraining),
    ):
        kind(config).save_pretrained(folder / name)
        words.save_pretrained(folder / name)
    seen = transformers.ViTConfig(image_size=16, patch_size=8, **SMALL)
    transformers.ViTForImageClassification(seen).save_pretrained(folder / "pictures")
    processor = transformers.ViTImageProcessor(size={"height": 16, "width": 16})
    processor.save_pretrained(folder / "pictures")
    asked = {}
    for name, task, inputs in (
        ("reviews", "text-classification", TEXTS),
        ("vectors", "feature-extraction", TEXTS),
        ("masks", "fill-mask", ["a [MASK] film"]),
        ("heads", "feature-extraction", TEXTS),
    ):
        pipeline = transformers.pipeline(task, model=str(folder / name))
        is_list = task != "fill-mask"
        answers = [pipeline([text])[0] if is_list else pipeline(text) for text in inputs]
        asked[name] = [inputs, answers]
    pipeline = transformers.pipeline("image-classification", model=str(folder / "pictures"))
    image = Image.open(io.BytesIO(base64.b64decode(picture()))).convert("RGB")
    asked["pictures"] = [[picture()], [pipeline([image])[0]]]
    print(json.dumps(asked))


main()
