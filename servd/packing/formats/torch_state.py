"""Weights without code: a state dict as torch.save writes it, or safetensors.

They are put into a class that the deployer names. What torch.save wrote is a pickle, which names
what would be run when it is loaded: a replica lets it load weights and nothing else, and what names
more is refused here already.
"""

import io
import json
from pathlib import Path
from typing import Any, Final

from servd.errors import TargetError
from servd.packing.formats import samples
from servd.packing.formats.base import Format, Inspected, Need
from servd.packing.formats.peek import Peek
from servd.packing.formats.torch_zip import OLD_HEAD, OLD_PICKLES, PICKLE, PROGRAM, folder_of
from servd.packing.pickle_machine import Global, run
from servd.packing.targets import Asked
from servd.quantities import counted

_MOST_HEADER_BYTES: Final = 100 << 20
"""What the safetensors package reads at most."""
_MOST_PICKLE_BYTES: Final = 256 << 20
_MOST_STEPS: Final = 4_000_000
_PLAIN: Final = frozenset({"torch", "collections", "numpy", "_codecs"})
"""Top-level modules of what weights are made of; of torch.nn only parameters."""
_SAFE: Final = frozenset({"set", "frozenset", "bytearray", "slice", "complex", "dict", "int"})
_MAX_NAMES: Final = 3


def _detect(peek: Peek) -> bool:
    if is_safetensors(peek) or peek.head.startswith(OLD_HEAD):
        return True
    folder = folder_of(peek.names, PICKLE)
    if folder is None or folder_of(peek.names, PROGRAM) is not None:
        return False
    return not any(name.startswith(f"{folder}/code/") for name in peek.names)


def is_safetensors(peek: Peek) -> bool:
    """Tell whether a file begins as safetensors do: with the length of a JSON object, and that."""
    head = peek.head
    is_long = len(head) > 9 and head[8:9] == b"{"
    return is_long and 2 <= int.from_bytes(head[:8], "little") <= _MOST_HEADER_BYTES


def _inspect(peek: Peek, asked: Asked) -> Inspected:
    needs = [Need(module="torch", distribution="torch")]
    if is_safetensors(peek):
        names = list(_header(peek))
        summary = f"safetensors, {counted(len(names), 'tensor')}"
        needs.append(Need(module="safetensors", distribution="safetensors"))
    else:
        folder = folder_of(peek.names, PICKLE)
        _check_names(peek, folder)
        names = [name for name in peek.names if name.startswith(f"{folder}/data/")]
        told = f", {counted(len(names), 'tensor')}" if names else ""
        summary = f"PyTorch weights{told}"
    if asked.architecture is None:
        sample = samples.SAFETENSORS if is_safetensors(peek) else samples.WEIGHTS
        raise TargetError(
            f"{peek.name} holds weights ({summary}) and no code that computes with them",
            hint=f"--class net.py:Net names the class that they were trained in (--param for what "
            f"it is made with); or {samples.served_by(sample, peek.name)}",
        )
    architecture = _architecture(asked.architecture)
    return Inspected(summary=summary, needs=tuple(needs), architecture=architecture)


def _architecture(given: str) -> tuple[Path, str]:
    """Return the file and the name of the class that the deployer names.

    Raises:
        TargetError: there is no such file, or no class is named.
    """
    file, _, name = given.rpartition(":")
    if not file.endswith(".py") or not name:
        raise TargetError(
            f"--class {given} names no class", hint="--class file.py:Class, as in net.py:Net"
        )
    path = Path(file)
    if not path.is_file():
        raise TargetError(f"--class {given}: there is no file {file}")
    return path.parent.resolve() / path.name, name


# --- safetensors ---


def check_safetensors(peek: Peek) -> None:
    """Raise TargetError where a file is no whole file of safetensors. Called by transformers.py."""
    if not is_safetensors(peek):
        raise TargetError(f"{peek.name} is damaged: it does not begin as safetensors do")
    _header(peek)


def _header(peek: Peek) -> dict[str, Any]:
    """Return what the head of a file says of its tensors, by their names.

    Raises:
        TargetError: it is damaged.
    """
    length = int.from_bytes(peek.head[:8], "little")
    if 8 + length > peek.size:
        raise TargetError(
            f"{peek.name} is damaged: its head has {length} bytes, and the whole file {peek.size}"
        )
    with peek.path.open("rb") as file:
        file.seek(8)
        content = file.read(length)
    try:
        told = json.loads(content)
        tensors = {name: each for name, each in told.items() if name != "__metadata__"}
        end = max((each["data_offsets"][1] for each in tensors.values()), default=0)
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise TargetError(f"{peek.name} is damaged: its head cannot be read: {error}") from error
    if not isinstance(end, int):
        raise TargetError(f"{peek.name} is damaged: its head says no offsets, but {end!r:.40}")
    if 8 + length + end != peek.size:
        raise TargetError(
            f"{peek.name} is damaged: its tensors end at byte {8 + length + end}, and the file at "
            f"{peek.size}"
        )
    return tensors


# --- what torch.save wrote ---


def _named(peek: Peek, folder: str | None) -> list[Global]:
    """Return what the pickle of a file names.

    Raises:
        TargetError: it is damaged.
    """
    found: list[Global] = []
    if folder is not None:
        content = io.BytesIO(peek.member(f"{folder}/{PICKLE}", _MOST_PICKLE_BYTES))
        _, is_complete = run(content, found.append, _pass_over, _MOST_STEPS)
    else:
        with peek.path.open("rb") as file:
            for _ in range(OLD_PICKLES):
                _, is_complete = run(file, found.append, _pass_over, _MOST_STEPS)
    if not is_complete:
        raise TargetError(f"{peek.name} is damaged: its pickle does not come to an end")
    return found


def _pass_over(_key: str, _value: Any) -> None:
    return None


def _check_names(peek: Peek, folder: str | None) -> None:
    """Raise TargetError where a pickle names what is more than weights."""
    found = _named(peek, folder)
    names = dict.fromkeys(f"{each.module}.{each.name}" for each in found if not _is_plain(each))
    if not names:
        return
    listed = ", ".join(list(names)[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
    is_model = any(name.startswith("torch.nn.modules.") for name in names)
    what = "a whole model, pickled with its classes," if is_model else "more than weights"
    raise TargetError(
        f"{peek.name} holds {what} and names {listed}, which loading it would run",
        hint="save the weights alone, torch.save(model.state_dict(), …), and name their class: "
        "--class net.py:Net; or, if you trust it, "
        f"{samples.served_by(samples.WHOLE, peek.name)}",
    )


def _is_plain(named: Global) -> bool:
    module = named.module
    if module in ("builtins", "__builtin__"):
        return named.name in _SAFE
    if module.startswith("torch.nn.") and not module.startswith("torch.nn.parameter"):
        return False
    return module.partition(".")[0] in _PLAIN


FORMAT: Final = Format(
    name="torch_state", what="a file of weights", detect=_detect, inspect=_inspect
)
