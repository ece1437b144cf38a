"""Image specifications for the tests of imaging."""

from pathlib import Path

import msgspec

from model_runtime.bundle import digest_of
from model_runtime.manifest import Manifest, write
from servd.datatypes import Application, InputType, ModelVersion
from servd.imaging.naming import image_name
from servd.imaging.spec import ImageSpec

VERSION = ModelVersion(
    model="iris", version="1", input_type=InputType.DOUBLES, bundle="0" * 32, created_s=1.0
)
APPLICATION = Application(
    name="iris", input_type=InputType.DOUBLES, slo_us=50_000, default_output="-1"
)


def make_bundle(folder: Path, **manifest: object) -> Path:
    """Write a bundle of one function and return its folder."""
    (folder / "files").mkdir(parents=True)
    (folder / "files" / "f.py").write_text("def f(xs):\n    return [sum(x) for x in xs]\n")
    given = {"kind": "function", "object": "f", "python": "3.11.7", "example": [1.0, 2.0]}
    write(Manifest(loader="python", file="f.py", **(given | manifest)), folder)
    return folder


def version_in(bundle: Path) -> ModelVersion:
    """Return the version with a bundle's real digest."""
    return msgspec.structs.replace(VERSION, bundle=digest_of(bundle))


def spec_of(kind: str, bundle: Path | None = None, **changes: object) -> ImageSpec:
    """Return the specification of an image of that kind."""
    is_model = kind != "frontend"
    given: dict[str, object] = {
        "tag": image_name(kind, VERSION.id),
        "base_image": "python:3.11-slim",
        "version": (version_in(bundle) if bundle else VERSION) if is_model else None,
        "applications": (APPLICATION,) if kind == "standalone" else (),
        "bundle_dir": bundle if is_model else None,
    }
    return ImageSpec(kind=kind, **(given | changes))
