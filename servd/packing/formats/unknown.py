"""What is said of files and folders that are of no format: what each is, and code that serves it.

Used by table.py.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from servd.errors import TargetError
from servd.packing.formats import samples
from servd.packing.formats.base import Format
from servd.packing.formats.peek import Peek
from servd.packing.targets import FORMS

_MOST_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of file: how its first bytes tell it, what it is, and code that serves it.

    Where there is no code, `hint` says what to do.
    """

    is_one: Callable[[bytes], bool]
    what: str
    code: str = ""
    hint: str = FORMS


def _begins(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


def _matches(pattern: bytes) -> Callable[[bytes], bool]:
    compiled = re.compile(pattern, re.DOTALL)
    return lambda head: compiled.match(head) is not None


def _is_json(head: bytes) -> bool:
    return head.lstrip()[:1] in (b"{", b"[")


def _is_notebook(head: bytes) -> bool:
    return _is_json(head) and (b'"nbformat"' in head or b'"cell_type"' in head)


def _is_table(head: bytes) -> bool:
    """Tell whether the first lines of a text have one number of commas, semicolons or tabs."""
    lines = head.split(b"\n")[:5]
    lines = [line for line in (lines[:-1] or lines) if line.strip()]
    if not lines or not _is_text(head):
        return False
    counts = [{line.count(mark) for line in lines} for mark in (b",", b";", b"\t")]
    return any(len(each) == 1 and each != {0} for each in counts)


def _is_text(head: bytes) -> bool:
    try:
        head[:4096].decode()
    except UnicodeDecodeError as error:
        if error.start < len(head[:4096]) - 4:
            return False
    return b"\0" not in head


def _is_graph(head: bytes) -> bool:
    """Tell whether it begins as TensorFlow's GraphDef: a node with a name and an operation."""
    return re.match(rb"\x0a.{1,2}\x0a[\x01-\x7f][\w./:-]+\x12[\x01-\x7f][A-Z]\w+", head) is not None


_KINDS: Final = (
    _Kind(_is_notebook, "a Jupyter notebook, which has code and no model", samples.NOTEBOOK),
    _Kind(_begins(b"\x89HDF"), "an HDF5 file, and holds arrays", samples.HDF5),
    _Kind(_begins(b"GGUF"), "a language model for llama.cpp (GGUF)", samples.GGUF),
    _Kind(lambda head: head[4:8] == b"TFL3", "a TensorFlow Lite model", samples.TFLITE),
    _Kind(_begins(b"\x93NUMPY"), "an array of NumPy", samples.ARRAY),
    _Kind(_begins(b"PAR1"), "a table of data (Parquet), and no model", samples.PARQUET),
    _Kind(_begins(b"SQLite format 3\0"), "a database (SQLite), and no model", samples.SQLITE),
    _Kind(
        _begins(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*"),
        "a picture, which a model may be asked about",
        samples.PICTURE,
    ),
    _Kind(
        _matches(rb"RIFF....WEBP"), "a picture, which a model may be asked about", samples.PICTURE
    ),
    _Kind(_matches(rb"(?:RDX[23]|X)\n"), "an object of R", samples.RDS),
    _Kind(
        _begins(b"version https://git-lfs"),
        "a Git LFS pointer, which stands for the file itself",
        hint="git lfs pull",
    ),
    _Kind(
        _matches(rb"\s*<(?:!doctype html|html|!DOCTYPE html|HTML)"),
        "a page of the web, perhaps what a download answered in the place of a model",
        hint="download the model again, from the address of the file itself",
    ),
    _Kind(
        _begins(b"\x28\xb5\x2f\xfd"),
        "compressed with zstandard",
        hint="unpack it before: unzstd FILE",
    ),
    _Kind(lambda head: head[257:262] == b"ustar", "a tar archive", hint="unpack it: tar xf FILE"),
    _Kind(_begins(b"\x7fELF"), "a compiled program or library", samples.ANYTHING),
    _Kind(_begins(b"%PDF"), "a PDF document, and no model", samples.ANYTHING),
    _Kind(_is_graph, "a graph of TensorFlow (GraphDef)", samples.GRAPH),
    _Kind(
        _matches(rb"\x08[\x01-\x1e]\x12"),
        "a model of Core ML, or a SavedModel's graph without its folder",
        samples.CORE_ML,
    ),
    _Kind(_is_json, "JSON, and no model that servd knows", samples.JSON),
    _Kind(_is_table, "a table of data (CSV), and no model", samples.CSV),
    _Kind(_is_text, "a text, and no model that servd knows", samples.ANYTHING),
)


def refusal(peek: Peek, formats: Sequence[Format]) -> TargetError:
    """Return the error that says what a file or folder is which is of none of some formats."""
    if peek.is_folder:
        return _of_folder(peek, formats)
    if peek.is_zip:
        return _of_zip(peek)
    if peek.compression is not None:
        return _of_compressed(peek)
    kind = _kind_of(peek)
    name = peek.name
    hint = samples.served_by(kind.code, name) if kind.code else kind.hint.replace("FILE", name)
    return TargetError(f"{name} is {kind.what}", hint=hint)


def is_told(peek: Peek) -> bool:
    """Tell whether something is known to be of another kind than a model's file."""
    if peek.is_folder or peek.is_zip or not peek.head:
        return True
    return peek.compression is None and any(kind.is_one(peek.head) for kind in _KINDS[:-1])


def _kind_of(peek: Peek) -> _Kind:
    if not peek.head:
        return _Kind(bool, "empty")
    if _is_keras(peek):
        return _Kind(bool, "a model in Keras' format of before version 3 (HDF5)", samples.KERAS)
    other = f"of no format that servd knows: it begins with {peek.head[:8]!r}"
    found = (kind for kind in _KINDS if kind.is_one(peek.head))
    return next(found, _Kind(bool, other, samples.ANYTHING))


def _is_keras(peek: Peek) -> bool:
    """Tell whether an HDF5 file is a model of Keras: its root's attributes say so."""
    near = peek.head + peek.tail
    return peek.head.startswith(b"\x89HDF") and (
        b"keras_version" in near or b"model_config" in near
    )


def _of_zip(peek: Peek) -> TargetError:
    if not peek.names:
        return TargetError(
            f"{peek.name} is damaged: it begins as a zip archive, which files of PyTorch, Keras "
            "and skops are, and its end is missing",
            hint="copy or download it again",
        )
    arrays = [name for name in peek.names if name.endswith(".npy")]
    if len(arrays) == len(peek.names):
        hint = samples.served_by(samples.ARRAYS, peek.name, arrays[0].removesuffix(".npy"))
        shown = _listing([name.removesuffix(".npy") for name in arrays])
        return TargetError(f"{peek.name} holds arrays of NumPy ({shown})", hint=hint)
    files = [name for name in peek.names if not name.endswith("/")]
    return TargetError(
        f"{peek.name} is a zip archive ({_listing(files)}) of no format that servd knows",
        hint=samples.served_by(samples.ZIP, peek.name, files[0] if files else ""),
    )


def _of_compressed(peek: Peek) -> TargetError:
    """Return the error of a compressed file, which says what is in it as far as that is seen."""
    inner = peek.inflated_head
    how = f"compressed with {peek.compression}"
    if not inner:
        needs = ", which needs the package lz4 to be read" if peek.compression == "lz4" else ""
        return TargetError(
            f"{peek.name} is {how}{needs or ', and damaged'}",
            hint="pip install lz4" if needs else "make, or copy, the file again",
        )
    found = next((kind.what for kind in _KINDS if kind.is_one(inner)), "no pickle")
    return TargetError(
        f"{peek.name} is {how}: in it is {found}", hint="unpack it, and deploy what is in it"
    )


def _of_folder(peek: Peek, formats: Sequence[Format]) -> TargetError:
    """Return the error of a folder, which names the models in it."""
    names = {path.name for path in peek.entries}
    if "saved_model.pb" in names:
        return TargetError(
            f"{peek.name} is a SavedModel of TensorFlow",
            hint=samples.served_by(samples.SAVED_MODEL, peek.name),
        )
    files = [path for path in peek.entries if path.is_file() and path.suffix != ".py"]
    models = [path.name for path in files if any(each.detect(Peek(path)) for each in formats)]
    if models:
        ways = " or ".join(f"servd deploy {peek.name}/{name}" for name in models[:_MOST_SHOWN])
        return TargetError(f"{peek.name} is a folder with {_listing(models)}", hint=ways)
    code = [path.name for path in peek.entries if path.suffix == ".py"]
    if code:
        is_package = "__init__.py" in names and peek.name.isidentifier()
        ways = f"servd deploy {peek.name}/{code[0]}"
        return TargetError(
            f"{peek.name} is a folder of Python code ({_listing(code)})",
            hint=samples.served_by(samples.PACKAGE, peek.name, peek.name) if is_package else ways,
        )
    shown = _listing([path.name for path in peek.entries]) or "nothing in it"
    return TargetError(
        f"{peek.name} is a folder of no format that servd knows ({shown})", hint=FORMS
    )


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_SHOWN])
    return shown if len(names) <= _MOST_SHOWN else f"{shown}, …"
