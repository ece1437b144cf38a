"""By which signature a request in Clipper's query format is read: that of the version it is for.

Used by clipper.py.
"""

from typing import Final

import msgspec

from model_runtime.signature import Signature
from servd.datatypes import Inputs, InputType
from servd.http.codecs.base import SHOWN_NAME, Asked, Decode, RequestError
from servd.http.codecs.clipper_bodies import DECODE
from servd.http.codecs.clipper_signed import (
    SignedBodies,
    has_say,
    query_example,
    refusal,
    version_of,
)
from servd.schemas.compiled import compiled
from servd.schemas.faults import Faults, cut
from servd.schemas.query import other_of, read_query


class _Versioned(msgspec.Struct):
    version: str | int | msgspec.UnsetType | None = msgspec.UNSET


_versioned: Final = msgspec.json.Decoder(_Versioned).decode


def by_inputs(inputs: Inputs) -> Decode:
    """Return how bodies become rows, by the signature of the version that each is for."""
    current = by_signature(inputs.input_type, inputs.signature)
    return _ByVersion(inputs, current).decode if inputs.versions else current


class _ByVersion:
    """Reads bodies of an application whose versions take different inputs."""

    def __init__(self, inputs: Inputs, current: Decode) -> None:
        self._inputs = inputs
        self._current = current
        self._others: dict[str, Decode] = {}

    def decode(self, body: bytes) -> bytes | Asked:
        """Return what a body asks for, of the version that it names."""
        try:
            asked = self._current(body)
        except RequestError:
            other = self._other(_version_named(body))
            if other is None:
                raise
            return other(body)
        if isinstance(asked, bytes):
            return asked
        other = self._other(asked.version)
        return asked if other is None else other(body)

    def _other(self, version: str | None) -> Decode | None:
        """Return how bodies for a version are read, None where that is as for the current one."""
        if version is None or version not in self._inputs.versions:
            return None
        decode = self._others.get(version)
        if decode is None:
            decode = by_signature(self._inputs.input_type, self._inputs.versions[version])
            self._others[version] = decode
        return decode


def _version_named(body: bytes) -> str | None:
    try:
        return version_of(_versioned(body).version)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def by_signature(input_type: InputType, signature: Signature | None) -> Decode:
    """Return how bodies become the rows of one version."""
    if signature is not None and has_say(signature):
        return SignedBodies(signature).decode
    return DECODE[input_type if signature is None else InputType(signature.input_type)]


# --- by GET ---

_OTHERS: Final = frozenset({"version", "stream"})
"""What a query string may say that is no input, where no field has the name."""


def has_names(inputs: Inputs) -> bool:
    """Return whether inputs can be given in a query string."""
    return inputs.signature is not None and bool(inputs.signature.fields)


def query_decoder(inputs: Inputs, query: str) -> Decode:
    """Return how the query string of a GET becomes a row; its body says nothing."""

    def decode(body: bytes) -> bytes | Asked:
        del body
        return _by_query(inputs, query)

    return decode


def _by_query(inputs: Inputs, query: str) -> bytes | Asked:
    signature = inputs.signature
    if signature is None or not signature.fields:
        raise RequestError(405, "Method not allowed", "inputs have no names here: send a POST")
    version = version_of(other_of(compiled(signature), query, "version"))
    signature = inputs.of(version)
    faults = Faults()
    if signature is None or not signature.fields:
        cause = (
            f"version {cut(version or '', SHOWN_NAME)} takes inputs without names: send it a POST"
        )
        raise RequestError(400, "Query processing error", cause)
    reads = compiled(signature)
    row = read_query(reads, query, _OTHERS, faults)
    if faults:
        raise refusal(faults, query_example(reads, reads.example))
    return row if version is None else Asked(row, version)
