"""Writes build contexts: a folder that `docker build` takes. Used by builder.py and the
command line.

The tar of a context has fixed times, owners and modes, so that equal content is equal bytes and
the engine finds its layers again.
"""

import functools
import hashlib
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

import msgspec

import model_runtime
import servd
from model_runtime.bundle import digest_of
from model_runtime.manifest import Manifest
from servd.datatypes import ModelVersion
from servd.deploying.bundles import read_manifest
from servd.errors import BundleError, ConflictError
from servd.imaging import requirements
from servd.imaging.dockerfile import IGNORED, MARK, PIP_CONF, dockerfile, pip_conf
from servd.imaging.environment import check_serves, origins_of, python_of
from servd.imaging.packages import Packages, plan_packages
from servd.imaging.spec import ImageSpec
from servd.registry.snapshot import Registered

_ENTRIES: Final = (
    *("Dockerfile", ".dockerignore", "requirements.txt", "constraints.txt", "pip.conf", "wheels"),
    *("applications.json", "lib", "bundle"),
)
"""All that a context may hold."""

_COMPILED: Final = "__pycache__"
_BUNDLE_LETTERS: Final = 12
_INPUT_LETTERS: Final = 8
_ELSEWHERE: Final = (
    *("container_name", "model_data_path", "runtime", "created_s"),
    *("image", "image_digest", "memory_bytes", "cpus", "gpus", "device", "threads"),
)
"""The fields of a version that say when it was registered, and where and how it runs elsewhere."""

_UNSAID: Final = {
    field.name: field.default
    for field in msgspec.structs.fields(ModelVersion)
    if field.name in _ELSEWHERE
}


def write_context(spec: ImageSpec, folder: Path) -> None:
    """Write everything that an image is built from into an empty folder.

    Raises:
        BundleError: the bundle is not one.
        ConflictError: the version has no bundle.
        OSError: the folder cannot be written.
    """
    texts = _texts(spec)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        _write(folder / name, text)
    _write_wheels(packages_of(spec), folder / "wheels")
    if spec.additions.has_secrets:
        # Not for others on this machine; in the image it never is (see dockerfile.py).
        (folder / PIP_CONF).touch(mode=0o600)
        _write(folder / PIP_CONF, pip_conf(spec.additions))
    for package in _packages(spec):
        _copy(package, folder / "lib" / package.name)
    if spec.bundle_dir is not None and spec.kind != "frontend":
        _copy(spec.bundle_dir, folder / "bundle")
        _check_content(spec, folder / "bundle")


def _check_content(spec: ImageSpec, bundle: Path) -> None:
    """Refuse a bundle that is not what was deployed any more: a model may write beside itself."""
    wanted = spec.version.bundle if spec.version else None
    found = digest_of(bundle)
    if spec.version is not None and wanted not in (None, found):
        raise BundleError(
            f"the files of {spec.version.id} were changed after they were deployed: "
            f"their digest is {found}, and was {wanted}",
            hint="a model must not write into its own folder; deploy it again",
        )


def content_of(spec: ImageSpec, base_id: str = "") -> str:
    """Return a text for an image's tag that is another one where anything in the image is.

    It begins with the bundle's digest; after that is one of all else that the image is built from:
    base image, packages, servd's own code, settings. `base_id` is which image the base's name
    stands for, where that is known.

    Raises:
        BundleError: the bundle is not one.
        ConflictError: the version has no bundle.
    """
    total = hashlib.sha256()
    # A password makes no other image.
    open_spec = replace(spec, additions=spec.additions.without_secrets())
    parts = [f"{name}\0{text}" for name, text in _texts(open_spec).items()]
    planned = packages_of(spec)
    parts += [source.digest for source in planned.sources]
    parts += [hashlib.sha256(path.read_bytes()).hexdigest() for path in planned.wheels]
    for part in (*parts, *map(_digest_of_code, _packages(spec)), str(spec.platform), base_id):
        total.update(hashlib.sha256(part.encode()).digest())
    inputs = total.hexdigest()[:_INPUT_LETTERS]
    bundle = spec.version.bundle if spec.version and spec.kind != "frontend" else None
    return f"{bundle[:_BUNDLE_LETTERS]}-{inputs}" if bundle else inputs


def _texts(spec: ImageSpec) -> dict[str, str]:
    """Return the files of a context that are written for it, by name."""
    manifest = _manifest(spec)
    planned = packages_of(spec)
    python = python_of(manifest) if manifest else ""
    texts = {
        "Dockerfile": dockerfile(spec, python, has_wheels=planned.has_wheels),
        ".dockerignore": IGNORED,
        "requirements.txt": "".join(f"{line}\n" for line in (*planned.options, *planned.required)),
        "constraints.txt": requirements.as_lines(planned.constraints),
    }
    if spec.kind == "standalone":
        texts["applications.json"] = applications_json(spec)
    return texts


def packages_of(spec: ImageSpec) -> Packages:
    """Return where the packages of an image come from, and what is to be said of them.

    Raises:
        BundleError: the bundle is not one.
        ConflictError: the version has no bundle.
    """
    manifest = _manifest(spec)
    is_frontend = spec.kind == "frontend"
    additions = spec.additions.for_front_end() if is_frontend else spec.additions
    if spec.kind == "standalone" and manifest is not None and spec.version is not None:
        check_serves(python_of(manifest), str(spec.version.id))
    bundle = None if is_frontend else spec.bundle_dir
    origins = origins_of(manifest, bundle, spec.environments or Path())
    known = (origins.sources, origins.lookup, origins.wheels)
    planned = plan_packages(spec.kind, origins.pins, additions, *known)
    planned.options += origins.options
    if not is_frontend:
        planned.required += origins.unpinned
    return planned


def _write_wheels(planned: Packages, folder: Path) -> None:
    for source in planned.sources:
        source.write(folder)
    for path in planned.wheels:
        folder.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / path.name)


def _packages(spec: ImageSpec) -> list[Path]:
    """Return the folders of servd's own code that go into an image."""
    inits = [model_runtime.__file__, *([servd.__file__] if spec.kind != "replica" else [])]
    return [Path(str(init)).parent for init in inits]


@functools.cache
def _digest_of_code(package: Path) -> str:
    """Return a digest of a package's files; they do not change while this process runs."""
    total = hashlib.sha256()
    for path in _sorted(package):
        if path.is_file():
            name = path.relative_to(package).as_posix().encode()
            total.update(name + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def applications_json(spec: ImageSpec) -> str:
    """Return what `servd serve-one --applications` reads: the version and its applications."""
    version = spec.version
    if version is None:
        return "{}\n"
    inside = msgspec.structs.replace(version, replicas=1, **_UNSAID)
    registered = Registered(
        applications=list(spec.applications),
        versions=[inside],
        current={version.model: version.version},
        links={app.name: [version.model] for app in spec.applications},
        default_app=spec.applications[0].name if spec.applications else msgspec.UNSET,
        routes=list(spec.routes) or msgspec.UNSET,
    )
    text = msgspec.json.format(msgspec.json.encode(registered), indent=1)
    return text.decode() + "\n"


def clear(folder: Path, *, is_forced: bool) -> None:
    """Make room for a context where one is; refuse to where there is something else.

    Raises:
        ConflictError: the folder holds files that are no context of servd's.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        is_ours = (folder / "Dockerfile").read_text("utf-8").startswith(MARK)
    except (OSError, UnicodeDecodeError):
        is_ours = False
    if not (is_ours or is_forced):
        raise ConflictError(
            f"{folder} holds files that servd has not written",
            hint="give a folder that is empty or new, or --force to write among them",
        )
    for name in _ENTRIES:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def tar_of(folder: Path, target: IO[bytes]) -> None:
    """Write a context as a tar whose bytes depend on its content only."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in _sorted(folder):
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.mode = 0o755 if path.is_dir() else 0o644
            if path.is_dir():
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
                continue
            member.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(member, file)


def _manifest(spec: ImageSpec) -> Manifest | None:
    if spec.kind == "frontend":
        return None
    if spec.bundle_dir is None:
        name = spec.version.id if spec.version else "the model"
        raise ConflictError(
            f"{name} is a containerless model: it was registered, not deployed, "
            "so there is nothing to put into an image"
        )
    return read_manifest(spec.bundle_dir)


def _copy(source: Path, target: Path) -> None:
    for path in _sorted(source):
        copy = target / path.relative_to(source)
        if path.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def _sorted(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if _COMPILED not in path.relative_to(folder).parts:
            yield path


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
