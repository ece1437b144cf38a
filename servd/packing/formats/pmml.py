"""PMML: the Data Mining Group's XML, of which a Python package loads the common models.

Only its two ends are looked at; nothing parses the XML here.
"""

import re
from typing import Final

from servd.errors import TargetError
from servd.packing.formats.base import Format, Inspected, Need
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked

_ROOT: Final = re.compile(rb"<PMML[\s>]")
_BOM: Final = b"\xef\xbb\xbf"
_BEFORE: Final = ((b"<?", b"?>"), (b"<!--", b"-->"))
"""What may come before the root, by its first and its last bytes."""
_VERSION: Final = re.compile(rb"<PMML[^>]{0,2000}?\bversion=[\"']([\d.]{1,10})[\"']", re.DOTALL)
_MODEL: Final = re.compile(rb"<(\w+Model|RuleSetModel|NeuralNetwork|Scorecard)[\s>]")


def _detect(peek: Peek) -> bool:
    return _ROOT.match(_body(peek.head)) is not None


def _body(head: bytes) -> bytes:
    """Return what a document has behind its declaration and comments."""
    rest = head.removeprefix(_BOM).lstrip()
    while rest:
        end = next((last for first, last in _BEFORE if rest.startswith(first)), None)
        if end is None:
            break
        rest = rest.partition(end)[2].lstrip()
    return rest


def _inspect(peek: Peek, asked: Asked) -> Inspected:
    del asked
    if not _detect(peek):
        raise TargetError(f"{peek.name} is not PMML: it does not begin with <PMML>")
    if not peek.tail.rstrip().endswith(b"</PMML>"):
        raise TargetError(f"{peek.name} is damaged: it ends before </PMML>")
    version, model = _VERSION.search(peek.head), _MODEL.search(peek.head)
    told = f", {model[1].decode()}" if model else ""
    return Inspected(
        summary=f"PMML {version[1].decode() if version else ''}".strip() + told,
        needs=(Need(module="sklearn_pmml_model", distribution="sklearn-pmml-model"),),
    )


FORMAT: Final = Format(name="pmml", what="a PMML document", detect=_detect, inspect=_inspect)
