"""Files that hold secrets. Written by curve.py and certificates.py."""

import os
from collections.abc import Mapping
from pathlib import Path


def write_key_files(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files that only the owner may read, by their names, replacing those there are."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in texts.items():
        path = folder / name
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
