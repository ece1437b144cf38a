"""Wheels and projects that tests make, so that what resolves and installs needs no network."""

import hashlib
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

BACKEND = """
import pathlib, sys, zipfile, hashlib, base64

def build_wheel(folder, settings=None, metadata=None):
    {before}
    files = {{
        "{name}.py": pathlib.Path("{name}.py").read_text(),
        "{name}-{version}.dist-info/METADATA":
            "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n",
        "{name}-{version}.dist-info/WHEEL":
            "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    record = "".join(f"{{each}},,\\n" for each in files)
    files["{name}-{version}.dist-info/RECORD"] = record
    wheel = "{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, wheel), "w") as archive:
        for each, text in files.items():
            archive.writestr(zipfile.ZipInfo(each), text)
    return wheel

def build_sdist(folder, settings=None):
    raise NotImplementedError
"""
"""A build backend that lies in its project and needs nothing."""


def write_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    needs: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write the wheel of a package with one module, whose `VERSION` is the version; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {each}\n" for each in needs)
    content = {
        f"{name}.py": f"VERSION = {version!r}\n",
        **(files or {}),
        f"{about}/METADATA": metadata,
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = "".join(f"{path},{_hash(text)},{len(text)}\n" for path, text in content.items())
    content[f"{about}/RECORD"] = f"{record}{about}/RECORD,,\n"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in content.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return path


def write_project(folder: Path, name: str, version: str, *, before: str = "") -> Path:
    """Write a project that builds without any index; `before` is run first when it is built."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(f"VERSION = {version!r}\n")
    (folder / "backend.py").write_text(
        BACKEND.format(name=name, version=version, before=before or "pass")
    )
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
    )
    return folder


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256={urlsafe_b64encode(digest).rstrip(b'=').decode()}"
