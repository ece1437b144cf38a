"""What a body is, by the Content-Type of its request. Used by clipper.py and clipper_files.py."""

import enum
from typing import Final

from servd.http.codecs.base import Head

_FORM: Final = "multipart/form-data"
_JSON: Final = ("", "application/json", "text/json")


class Kind(enum.Enum):
    """What a Content-Type says of a body: JSON, a form of parts, or anything else."""

    JSON = enum.auto()
    FORM = enum.auto()
    OTHER = enum.auto()


def kind_of(head: Head) -> Kind:
    """Return what a head says of its body; one that says nothing says that it is JSON."""
    media = content_type(head).partition(";")[0].strip().lower()
    if media == _FORM:
        return Kind.FORM
    return Kind.JSON if media in _JSON or media.endswith("+json") else Kind.OTHER


def content_type(head: Head) -> str:
    """Return the Content-Type that a head has; empty where it is none or says JSON."""
    return head.headers.get("content-type", "")
