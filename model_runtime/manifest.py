"""model.json: what is in a bundle and how to load it.

The CLI writes it, the daemon and the replica read it. It never names code to run beyond a file
of the bundle and an object in it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, field, fields
from pathlib import Path, PurePosixPath
from typing import Any, Final

from model_runtime.bundle import LOCK_NAME, MANIFEST_NAME, BundleFormatError
from model_runtime.older import dataclass
from model_runtime.protocol import INPUT_TYPE_CODES
from model_runtime.signature import BATCH, EACH, EXTRA, SignatureError, check_schema

FORMAT: Final = 1
AUTO: Final = "auto"
"""The input type of a model that says itself what it takes, when it has been loaded."""
OUTPUTS: Final = ("labels", "proba", "both")
"""What of a classifier is answered."""
MAX_CONCURRENCY: Final = 1000
"""Streams of a replica at once: a plain generator takes a thread each."""
SELDON: Final = "seldon"
"""The kind of classes that are written for Seldon Core, whose inputs are its messages."""
LITSERVE: Final = "litserve"
"""The kind of LitServe's classes, whose methods decode, predict and encode."""
ASGI: Final = "asgi"
WSGI: Final = "wsgi"
WEB_KINDS: Final = (ASGI, WSGI)
"""The kinds of web applications, which are not called but run."""
FORMATS: Final = (
    *("onnx", "skops", "xgboost", "lightgbm", "catboost", "pmml"),
    *("torchscript", "torch_export", "torch_state", "keras"),
)
"""Loaders of formats of which the file itself says all: nothing in it is named."""
FOLDER_FORMATS: Final = ("mlflow", "transformers")
"""And those of which it is a folder: `file` is what tells, the rest lies around it."""
_KINDS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(FORMATS, ("file",)),
    **dict.fromkeys(FOLDER_FORMATS, ("folder",)),
    "python": ("function", "class", SELDON, LITSERVE, *WEB_KINDS),
    "pickle": ("pickle", "function", "class", SELDON),
    "bento": ("saved", "service"),
}
_OF_CODE: Final = ("function", "class", SELDON, LITSERVE, "saved", "service", *WEB_KINDS)
_MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The content of model.json.

    `file`, `sys_path`, `cwd` and `folders` are relative to the bundle's `files/`; `cwd` is the
    folder in which the model runs, for what it opens by a relative name, `folders` are made, as a
    bundle has files only and a model may go to, list or write to a folder without any. `object` is
    the name in the file, or of the function or class that is pickled (None for a fitted model), or
    of BentoML's service, of which `method` is the API.
    `example` is one input as a JSON value. `python` and `packages` are the versions the model was
    made with. `schema` is the JSON Schema of an input,
    `extra` what becomes of fields that it does not name (signature.py), `output` which of `OUTPUTS`
    is answered, `concurrency` how many streams a replica serves at once, each None where the
    deployer did not say. `call` is how a function is called (signature.py) whose input type is
    not `auto`; of one that is, the function says it. A class is made with `parameters`.
    `environment` is what the model runs in: its `python`, and the `interpreter` that is used as it
    is, or the `lock` in the bundle that an environment is made of; None: the server's own.
    `trust` are the types that the deployer lets a file load that its format does not trust.
    `architecture` is what the weights in a file are put into, `file.py:Class` of the bundle, which
    is made with `parameters` as well; `task` is what a model of several uses is used for, called
    with them.
    """

    loader: str
    file: str
    kind: str
    object: str | None = None
    method: str = "predict"
    input_type: str = "doubles"
    as_lists: bool = False
    example: Any = None
    skip_test: bool = False
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    sys_path: tuple[str, ...] = (".",)
    cwd: str = "."
    folders: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    extra: str | None = None
    output: str | None = None
    concurrency: int | None = None
    call: str = BATCH
    parameters: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] | None = None
    trust: tuple[str, ...] = ()
    architecture: str | None = None
    task: str | None = None
    format: int = FORMAT

    def __post_init__(self) -> None:
        _check(self)


_LATER: Final = (
    *("folders", "schema", "extra", "output", "concurrency", "call", "parameters"),
    *("environment", "trust", "architecture", "task"),
)
_USUAL: Final = {each.name: each.default for each in fields(Manifest)} | {"parameters": {}}
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "loader": (str,),
    "file": (str,),
    "kind": (str,),
    "object": (str, type(None)),
    "method": (str,),
    "input_type": (str,),
    "as_lists": (bool,),
    "skip_test": (bool,),
    "python": (str,),
    "packages": (dict,),
    "sys_path": (tuple,),
    "cwd": (str,),
    "folders": (tuple,),
    "schema": (dict, type(None)),
    "extra": (str, type(None)),
    "output": (str, type(None)),
    "concurrency": (int, type(None)),
    "call": (str,),
    "parameters": (dict,),
    "environment": (dict, type(None)),
    "trust": (tuple,),
    "architecture": (str, type(None)),
    "task": (str, type(None)),
    "format": (int,),
}


def read(folder: Path) -> Manifest:
    """Return the checked manifest of a bundle folder.

    Raises:
        BundleFormatError: there is none, or it is not a manifest that this version loads.
    """
    path = folder / MANIFEST_NAME
    try:
        content = json.loads(_read_bytes(path))
    except FileNotFoundError as error:
        raise BundleFormatError(f"the bundle has no {MANIFEST_NAME}") from error
    except RecursionError as error:
        raise BundleFormatError(f"{MANIFEST_NAME} is nested too deep") from error
    except BundleFormatError:
        raise
    except ValueError as error:
        raise BundleFormatError(f"{MANIFEST_NAME} is not JSON: {error}") from error
    manifest = parse(content)
    if not (folder / "files" / manifest.file).is_file():
        raise BundleFormatError(f"{MANIFEST_NAME} names '{manifest.file}', which is not there")
    lock = (manifest.environment or {}).get("lock")
    if lock is not None and not (folder / lock).is_file():
        raise BundleFormatError(f"{MANIFEST_NAME} names '{lock}', which is not there")
    return manifest


def _read_bytes(path: Path) -> bytes:
    """Return the bytes of a manifest of a reasonable size."""
    if path.stat().st_size > _MAX_BYTES:
        raise BundleFormatError(f"{MANIFEST_NAME} is larger than {_MAX_BYTES} bytes")
    return path.read_bytes()


def parse(content: Any) -> Manifest:
    """Return the manifest of a JSON value; unknown keys are left to later versions.

    Raises:
        BundleFormatError: a value is missing or wrong.
    """
    if not isinstance(content, dict):
        raise BundleFormatError(f"{MANIFEST_NAME} is not a JSON object")
    if content.get("format") != FORMAT:
        raise BundleFormatError(
            f"{MANIFEST_NAME} has format {content.get('format')!r}, this servd reads {FORMAT}"
        )
    for name in ("loader", "file", "kind"):
        if name not in content:
            raise BundleFormatError(f"{MANIFEST_NAME} has no '{name}'")
    known = {f.name: content[f.name] for f in fields(Manifest) if f.name in content}
    for name in ("sys_path", "folders", "trust"):
        if isinstance(known.get(name), list):
            known[name] = tuple(known[name])
    return Manifest(**known)


def write(manifest: Manifest, folder: Path) -> None:
    """Write model.json into a bundle folder."""
    (folder / MANIFEST_NAME).write_bytes(encode(manifest))


def encode(manifest: Manifest) -> bytes:
    """Return the content of model.json; equal manifests give equal bytes."""
    content = asdict(manifest)
    for name in _LATER:  # bundles that were made before there were any keep their digests
        if content[name] == _USUAL[name]:
            del content[name]
    # The order of a schema's fields is that of inputs that are arrays.
    ordered = {name: each if name == "schema" else _sorted(each) for name, each in content.items()}
    text = json.dumps(dict(sorted(ordered.items())), indent=1, ensure_ascii=False)
    return f"{text}\n".encode()


def _sorted(value: Any) -> Any:
    """Return a JSON value with the names of its objects in an order that is always the same."""
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, (list, tuple)) else value


def _check(manifest: Manifest) -> None:
    """Refuse values that no loader can work with."""
    for name, kinds in _TYPES.items():
        value = getattr(manifest, name)
        if type(value) not in kinds:
            raise BundleFormatError(f"{MANIFEST_NAME}: '{name}' cannot be {value!r:.60}")
    if manifest.kind not in _KINDS.get(manifest.loader, ()):
        raise BundleFormatError(
            f"{MANIFEST_NAME}: no loader '{manifest.loader}' of kind '{manifest.kind}'"
        )
    if manifest.kind in _OF_CODE and not manifest.object and manifest.loader != "pickle":
        raise BundleFormatError(f"{MANIFEST_NAME}: no object of '{manifest.file}' is named")
    if manifest.input_type not in (*INPUT_TYPE_CODES, AUTO):
        raise BundleFormatError(f"{MANIFEST_NAME}: no input type '{manifest.input_type}'")
    _check_inputs(manifest)
    _check_architecture(manifest.architecture)
    _check_environment(manifest.environment)
    for path in (manifest.file, manifest.cwd, *manifest.sys_path, *manifest.folders):
        _check_path(path)
    if not all(type(v) is str for pair in manifest.packages.items() for v in pair):
        raise BundleFormatError(f"{MANIFEST_NAME}: packages are names and versions as texts")


def _check_environment(environment: dict[str, Any] | None) -> None:
    """Refuse what no environment can be found by."""
    if environment is None:
        return
    named = [name for name in ("interpreter", "lock") if name in environment]
    if not all(type(value) is str for pair in environment.items() for value in pair):
        raise BundleFormatError(f"{MANIFEST_NAME}: an environment is described by texts")
    if len(named) != 1 or not environment.get("python"):
        raise BundleFormatError(
            f"{MANIFEST_NAME}: an environment has a 'python' and an 'interpreter' or a 'lock'"
        )
    if named == ["interpreter"]:
        path = environment["interpreter"]
        if not PurePosixPath(path).is_absolute() or "\0" in path:
            raise BundleFormatError(f"{MANIFEST_NAME}: {path!r:.60} is no interpreter's full path")
    elif environment["lock"] != LOCK_NAME:
        raise BundleFormatError(
            f"{MANIFEST_NAME}: the lock of an environment is {LOCK_NAME}, "
            f"not {environment['lock']!r:.60}"
        )


def _check_inputs(manifest: Manifest) -> None:
    """Refuse what is said of inputs and outputs that no model can have."""
    if manifest.extra not in (None, *EXTRA) or manifest.output not in (None, *OUTPUTS):
        raise BundleFormatError(
            f"{MANIFEST_NAME}: extra is one of {', '.join(EXTRA)}, output of {', '.join(OUTPUTS)}"
        )
    if not all(type(each) is str for each in manifest.trust):
        raise BundleFormatError(f"{MANIFEST_NAME}: what is trusted are names of types")
    if manifest.call not in (BATCH, EACH):
        raise BundleFormatError(f"{MANIFEST_NAME}: a model is not called {manifest.call!r:.60}")
    if manifest.concurrency is not None and not 1 <= manifest.concurrency <= MAX_CONCURRENCY:
        raise BundleFormatError(
            f"{MANIFEST_NAME}: a replica has 1 to {MAX_CONCURRENCY} streams at once "
            f"(concurrency), not {manifest.concurrency}"
        )
    is_put_into = manifest.architecture is not None or manifest.task is not None
    is_made = manifest.kind in ("class", SELDON, LITSERVE) or is_put_into
    if manifest.parameters and not is_made:
        raise BundleFormatError(
            f"{MANIFEST_NAME}: parameters are a class's, not a {manifest.kind}'s"
        )
    try:
        check_schema(manifest.schema or {}, "schema")
    except SignatureError as error:
        raise BundleFormatError(f"{MANIFEST_NAME}: {error}") from error


def _check_architecture(architecture: str | None) -> None:
    """Refuse what names no class of a file of the bundle."""
    if architecture is None:
        return
    file, _, name = architecture.rpartition(":")
    if not file.endswith(".py") or not name:
        raise BundleFormatError(
            f"{MANIFEST_NAME}: an architecture is file.py:Class, not {architecture!r:.60}"
        )
    _check_path(file)


def _check_path(path: object) -> None:
    """Refuse a path that leads out of the bundle."""
    if not isinstance(path, str) or not path or "\0" in path:
        raise BundleFormatError(f"{MANIFEST_NAME}: {path!r:.60} is not a path")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise BundleFormatError(f"{MANIFEST_NAME}: '{path}' leads out of the bundle")
