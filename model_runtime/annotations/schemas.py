"""Brings the JSON Schema that a library makes to what a signature holds (signature.py).

References are replaced by what they mean, keywords that are not known there are left out.
"""

from __future__ import annotations

from typing import Any, Final

from model_runtime.signature import KEYWORDS, Schema

_DEEP: Final = 10
"""Levels that are shown of a schema: deeper down any value is said to do."""
_MOST_PARTS: Final = 20_000


class _Flattening:
    def __init__(self, whole: Schema) -> None:
        self._named: dict[str, Any] = {**whole.get("definitions", {}), **whole.get("$defs", {})}
        self._left = _MOST_PARTS

    def schema(self, schema: Any, depth: int, inside: tuple[str, ...]) -> Any:
        """Return one without references; what is inside itself is shown as any value there."""
        if isinstance(schema, bool):
            return schema
        self._left -= 1
        if not isinstance(schema, dict) or depth > _DEEP or self._left < 0:
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            name = reference.rpartition("/")[2]
            if name in inside:
                return {"title": name}
            meant = self.schema(self._named.get(name, {}), depth, (*inside, name))
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            return {**meant, **self.schema(beside, depth, inside)}
        return self._parts(schema, depth + 1, inside)

    def _parts(self, schema: Schema, depth: int, inside: tuple[str, ...]) -> Schema:
        made: Schema = {}
        for key, value in schema.items():
            if key == "oneOf":
                made["anyOf"] = [self.schema(each, depth, inside) for each in value]
            elif key == "allOf" and len(value) == 1:
                made = {**self.schema(value[0], depth, inside), **made}
            elif key in ("anyOf", "prefixItems"):
                made[key] = [self.schema(each, depth, inside) for each in value]
            elif key in ("items", "additionalProperties"):
                made[key] = self.schema(value, depth, inside)
            elif key == "properties":
                made[key] = {name: self.schema(each, depth, inside) for name, each in value.items()}
            elif key in KEYWORDS and key != "$schema":
                made[key] = value
        return made


def flat(whole: Schema) -> Schema:
    """Return a schema without references and unknown keywords."""
    made = _Flattening(whole).schema(whole, 0, ())
    return made if isinstance(made, dict) else {}
