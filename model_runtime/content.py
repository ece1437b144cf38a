"""Which files a replica has really got, for its STATE. Used by loop.py.

What an image is called, or what its variables say, need not be what lies in it; front ends compare
this digest with the one that the version is registered with.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from model_runtime.bundle import BundleFormatError, digest_of

HEAD_START_S: Final = 0.2
"""Most bundles are read in it, and so before a model can write beside itself; of a large one the
rest is read while the model loads."""


class Content:
    """The digest of a bundle's files, worked out by a thread from when it is made."""

    def __init__(self, bundle: Path) -> None:
        self._bundle = bundle
        self._digest: str | None = None
        self._thread = threading.Thread(target=self._read, name="servd-digest", daemon=True)
        self._thread.start()
        self._thread.join(HEAD_START_S)

    def digest(self) -> str | None:
        """Return it, once it is known; None for a folder that is no bundle as servd packs them."""
        self._thread.join()
        return self._digest

    def _read(self) -> None:
        try:
            self._digest = digest_of(self._bundle)
        except (BundleFormatError, OSError):
            self._digest = None  # loading says what is wrong with it, if that matters
