"""Whose interface this is. Used for names of images, and by scripts that ask."""

import os
from typing import Final

__version__: Final = "0.4.1"
"""The version of clipper_admin whose interface this package has."""

__registry__: Final = os.environ.get("CLIPPER_REGISTRY", "clipper")
"""Where Clipper's own images would be; names of images begin with it."""
