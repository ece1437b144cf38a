"""Makes PyTorch's files in a folder: `python torch_models.py FOLDER`, in an environment with torch.

Prints a JSON object of each file's inputs and what torch itself answers to them, one at a time.
"""

import json
import os
import sys
from pathlib import Path

import net
import torch
from safetensors.torch import save_file

ROWS = [[1.0, 2.0, 3.0, 4.5], [0.25, -1.0, 0.0, 1e3]]
WORDS = [[1, 2, 3, 0], [7, 19, 0, 0]]
STEPS = [[[1.0, 0.5, 2.0]] * 3, [[0.0, -1.0, 4.0]] * 3]
PICTURES = [[[[7] * 6] * 6], [[[255] * 6] * 6]]
PAIRS = [{"left": [1.0, 2.0], "right": [3.0, 4.0]}, {"left": [0.5, 0.5], "right": [1.0, 9.0]}]


class Hostile:
    """Runs a command where it is unpickled."""

    def __reduce__(self):
        """Say which."""
        return os.system, ("touch pwned",)


def plain(value):
    """Return what a model answered to a batch of one row, as JSON has it of that row."""
    if isinstance(value, torch.Tensor):
        return (value[0] if value.shape[0] == 1 else value).tolist()
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value]


def answers(model, inputs, dtype=torch.float32, size=1):
    """Return inputs with what a model answers, of a batch each: of one row, or the same again."""
    if size == 3:
        with torch.inference_mode():
            return [inputs, [model(torch.tensor([row] * size))[0].tolist() for row in inputs]]
    told = []
    with torch.inference_mode():
        for row in inputs:
            parts = list(row.values()) if isinstance(row, dict) else [row]
            told.append(plain(model(*[torch.tensor([part], dtype=dtype) for part in parts])))
    return [inputs, told]


def scripted(folder, asked):
    """Make modules with their code, scripted and traced."""
    torch.jit.save(torch.jit.script(net.Net().eval()), folder / "scripted.pt")
    torch.jit.save(torch.jit.trace(net.Net().eval(), torch.ones(1, 4)), folder / "traced.pth")
    torch.jit.save(torch.jit.script(net.Words().eval()), folder / "words.pt")
    torch.jit.save(torch.jit.script(net.Recurrent().eval()), folder / "recurrent.pt")
    torch.jit.save(torch.jit.script(net.Pair().eval()), folder / "pair.pt")
    torch.jit.save(torch.jit.script(net.Net().eval()), folder / "no_ending")
    for name, inputs, dtype in (
        ("scripted.pt", ROWS, torch.float32),
        ("traced.pth", ROWS, torch.float32),
        ("no_ending", ROWS, torch.float32),
        ("words.pt", WORDS, torch.int64),
        ("recurrent.pt", STEPS, torch.float32),
        ("pair.pt", PAIRS, torch.float32),
    ):
        model = torch.jit.load(folder / name)
        asked[name] = answers(model, inputs, dtype)


def exported(folder, asked):
    """Make exported programs: for any number of rows, for one row, and of pictures."""
    rows = torch.export.Dim("rows")
    for name, model, given, shapes, inputs, dtype in (
        ("any.pt2", net.Net(), (torch.ones(2, 4),), ({0: rows},), ROWS, torch.float32),
        ("one.pt2", net.Net(), (torch.ones(1, 4),), None, ROWS, torch.float32),
        ("three.pt2", net.Net(), (torch.ones(3, 4),), None, ROWS, torch.float32),
        (
            *("pictures.pt2", net.Picture(), (torch.zeros(2, 1, 6, 6, dtype=torch.uint8),)),
            *(({0: rows},), PICTURES, torch.uint8),
        ),
    ):
        program = torch.export.export(model.eval(), given, dynamic_shapes=shapes)
        torch.export.save(program, folder / name)
        asked[name] = answers(
            torch.export.load(folder / name).module(), inputs, dtype, len(given[0])
        )


def weights(folder, asked):
    """Make files of weights, of PyTorch's two ways and as safetensors, and what is none."""
    model = net.Net().eval()
    torch.save(model.state_dict(), folder / "weights.pt")
    torch.save(model.state_dict(), folder / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, folder / "checkpoint.ckpt")
    save_file(model.state_dict(), folder / "weights.safetensors", metadata={"format": "pt"})
    for name in ("weights.pt", "old.pt", "checkpoint.ckpt", "weights.safetensors"):
        asked[name] = answers(model, ROWS)
    wide = net.Net(inputs=3, hidden=5).eval()
    torch.save(wide.state_dict(), folder / "wide.pt")
    asked["wide.pt"] = answers(wide, [row[:3] for row in ROWS])
    torch.save(model, folder / "whole.pt")
    torch.save({"weights": Hostile()}, folder / "hostile.pt")


def main():
    """Make all of them."""
    folder = Path(sys.argv[1])
    torch.manual_seed(0)
    asked = {}
    scripted(folder, asked)
    exported(folder, asked)
    weights(folder, asked)
    print(json.dumps(asked))


main()
