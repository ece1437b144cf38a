"""The wire formats of the query port, a file each; base.py says what one is.

A path belongs to the first of `CODECS` that knows it. Called by http/query. May import engine and
carriers for their vocabulary.
"""

from typing import Final

from servd.http.codecs.base import Codec
from servd.http.codecs.clipper import CLIPPER
from servd.http.codecs.seldon import SELDON

CODECS: Final[tuple[Codec, ...]] = (CLIPPER, SELDON)
