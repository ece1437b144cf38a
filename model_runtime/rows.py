"""Inputs whose parts have names, and the rows that carry them (docs/protocol.md, "Rows").

A row is a JSON array of the values of `Signature.fields`, in their order. Used by the views of
models that take such rows (frames.py) and, for the test call's inputs, by inputs.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from model_runtime import protocol
from model_runtime.refusals import UnfitRowsError, fault, shown
from model_runtime.signature import IGNORE, Signature


def parsed(lengths: bytes, data: bytes, count: int) -> list[list[Any]]:
    """Return the values of each row of a batch, read in one go.

    Raises:
        ProtocolError: the frames do not hold `count` rows that are JSON arrays.
        UnfitRowsError: Python does not read what some of them hold.
    """
    split = protocol.split_rows(lengths, data, count)
    try:
        rows: list[list[Any]] = json.loads(b"[%b]" % b",".join(split))
    except (json.JSONDecodeError, UnicodeError) as error:
        raise protocol.ProtocolError(f"rows are no JSON: {error}") from error
    except (ValueError, RecursionError):
        rows = [*map(json.loads, readable(split))]
    if len(rows) != count or set(map(type, rows)) != {list}:
        raise protocol.ProtocolError(f"the data is not {count} JSON arrays")
    return rows


def readable(rows: Sequence[bytes]) -> Sequence[bytes]:
    """Return JSON texts all of which Python reads.

    Raises:
        UnfitRowsError: it does not read some of them; none where it reads each by itself.
    """
    errors = {}
    for at, row in enumerate(rows):
        try:
            json.loads(row.decode())
        except json.JSONDecodeError:
            raise
        except RecursionError:
            errors[at] = fault("it is nested too deeply", "recursion")
        except ValueError as error:  # a number of thousands of digits
            errors[at] = fault(f"it cannot be read: {error}", "value_error")
    if errors:
        raise UnfitRowsError(errors)
    return rows


def pack(value: Any, signature: Signature) -> bytes:
    """Return the row of one input of the query API: an object, an array, or a bare value.

    Raises:
        ValueError: it lacks a field, or has one that there is not.
    """
    return json.dumps(values_of(value, signature), separators=(",", ":")).encode()


def values_of(value: Any, signature: Signature) -> list[Any]:
    """Return the values of an input's fields in their order; what is left out has its default.

    Raises:
        ValueError: it lacks a field, or has one that there is not.
    """
    fields = signature.fields or {}
    if isinstance(value, Mapping):
        return _in_order(value, signature)
    if signature.value is not None and len(fields) == 1:
        return [value]
    if not isinstance(value, list):
        raise ValueError(  # noqa: TRY004  (callers tell values apart from types in no way)
            f"an input of this model is an object with {_listing(fields)}, not {shown(value)}"
        )
    if len(value) != len(fields):
        raise ValueError(
            f"an input of this model has {len(fields)} values ({_listing(fields)}), "
            f"not {len(value)}"
        )
    return value


def _in_order(value: Mapping[str, Any], signature: Signature) -> list[Any]:
    fields = signature.fields or {}
    for name in signature.required:
        if name not in value:
            raise ValueError(f"the input lacks {name!r}; the model takes {_listing(fields)}")
    unknown = [name for name in value if name not in fields]
    if unknown and signature.extra != IGNORE:
        raise ValueError(f"there is no {unknown[0]!r}; the model takes {_listing(fields)}")
    return [
        value[name] if name in value else schema.get("default") for name, schema in fields.items()
    ]


def in_brackets(names: Mapping[str, Any] | None) -> str:
    """Return names as they stand behind what has them; nothing where there are none."""
    return f" ({_listing(names)})" if names else ""


def _listing(names: Mapping[str, Any]) -> str:
    listed = list(names)
    return ", ".join(listed[:12]) + (", …" if len(listed) > 12 else "")
