"""A JSON Schema without references: what each `$ref` means stands in its place. Used by columns.py.

Libraries name the parts of nested models (`$defs`) and refer to them; a signature has no names
(model_runtime/signature.py). References are JSON pointers (RFC 6901) into the same document.
"""

from typing import Any, Final
from urllib.parse import unquote

from model_runtime.signature import Schema, SignatureError

_NAMED: Final = frozenset({"$defs", "definitions"})
_REMARKS: Final = frozenset(
    {"$id", "$comment", "discriminator", "deprecated", "readOnly", "writeOnly"}
)
"""What says nothing of which inputs are taken, and is left out."""
_OF_PEOPLE: Final = frozenset({"title", "description", "default", "examples"})
"""What is said beside a reference counts in place of what is said there."""
_MOST_PARTS: Final = 20_000
_SHOWN: Final = 60


def resolved(whole: Any) -> Any:
    """Return a schema that means the same and refers to nothing.

    Raises:
        SignatureError: a reference leads nowhere, or to what it stands in.
    """
    return _Resolving(whole).schema(whole, "the input", ())


class _Resolving:
    """Goes through a document. `inside` are the references that lead to where it is."""

    def __init__(self, whole: Any) -> None:
        self._whole = whole
        self._left = _MOST_PARTS

    def schema(self, schema: Any, where: str, inside: tuple[str, ...]) -> Any:
        """Return a part of the document without references; what is no schema as it is."""
        self._left -= 1
        if self._left < 0:
            raise SignatureError(f"with its references the schema has over {_MOST_PARTS} parts")
        if not isinstance(schema, dict):
            return schema
        made: Schema = {}
        for key, value in schema.items():
            if key not in _NAMED and key not in _REMARKS and key not in ("$ref", "allOf"):
                made |= self._keyword(key, value, where, inside)
        if "$ref" in schema:
            made = _joined(self._meant(schema["$ref"], where, inside), made, where)
        return self._with_all_of(schema, made, where, inside)

    def _keyword(self, key: str, value: Any, where: str, inside: tuple[str, ...]) -> Schema:
        """Return a keyword with its value; values that are no schemas are left alone."""
        if key == "properties" and isinstance(value, dict):
            parts = {
                name: self.schema(each, f"{where}.{name}", inside) for name, each in value.items()
            }
            return {key: parts}
        if key in ("anyOf", "oneOf", "prefixItems") and isinstance(value, list):
            ways = [self.schema(each, where, inside) for each in value]
            return {"anyOf" if key == "oneOf" else key: ways}
        if key in ("items", "additionalProperties"):
            return {key: self.schema(value, f"{where}[…]", inside)}
        return {key: value}

    def _with_all_of(
        self, schema: Schema, made: Schema, where: str, inside: tuple[str, ...]
    ) -> Any:
        """Return a schema with the one that all of it is; several are left to be refused."""
        parts = schema.get("allOf")
        if isinstance(parts, list) and len(parts) == 1:
            return _joined(self.schema(parts[0], where, inside), made, where)
        return made if parts is None else {**made, "allOf": parts}

    def _meant(self, reference: Any, where: str, inside: tuple[str, ...]) -> Any:
        """Return what a reference leads to."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise SignatureError(
                f"{where}: the reference {reference!r:.{_SHOWN}} is to another document: "
                'put what it means into the file, as "#/$defs/NAME"'
            )
        if reference in inside or reference == "#":
            name = _name(reference)
            raise SignatureError(
                f"{where}: {name} is recursive, it holds itself: an input of a schema has an end; "
                "leave it out of the schema, or let it be anything: {}"
            )
        return self.schema(self._found(reference, where), where, (*inside, reference))

    def _found(self, reference: str, where: str) -> Any:
        at = self._whole
        for step in reference[1:].split("/")[1:]:
            word = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(at, list) and word.isdecimal() and int(word) < len(at):
                at = at[int(word)]
            elif isinstance(at, dict) and word in at:
                at = at[word]
            else:
                raise SignatureError(
                    f"{where}: there is nothing at the reference {reference[:_SHOWN]!r}"
                )
        return at


def _name(reference: str) -> str:
    """Return what people call that which a reference leads to."""
    return "the schema" if reference == "#" else unquote(reference.rpartition("/")[2])[:_SHOWN]


def _joined(meant: Any, beside: Schema, where: str) -> Any:
    """Return what is said at a reference and beside it, of which both holds."""
    if not beside or not isinstance(meant, dict):
        return meant
    for key in meant.keys() & beside.keys() - _OF_PEOPLE:
        if meant[key] != beside[key]:
            raise SignatureError(f"{where}: {key} is said twice, at the reference and beside it")
    return {**meant, **beside}
