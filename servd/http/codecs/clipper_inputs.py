"""By which signature a body in Clipper's query format is read: that of the version it is for.

Used by clipper.py. What an application takes may change between two bodies.
"""

from typing import Final

import msgspec

from model_runtime.signature import Signature
from servd.datatypes import Inputs, InputType
from servd.http.codecs.base import Asked, Decode, RequestError, Takes
from servd.http.codecs.clipper_bodies import DECODE
from servd.http.codecs.clipper_signed import SignedBodies, has_say, version_of


class _Versioned(msgspec.Struct):
    version: str | int | msgspec.UnsetType | None = msgspec.UNSET


_versioned: Final = msgspec.json.Decoder(_Versioned).decode


def decoder_of(takes: Takes) -> Decode:
    """Return how bodies become rows, by the inputs that are taken when a body comes."""
    inputs = takes.inputs
    decode = by_inputs(inputs)

    def decode_as_now(body: bytes) -> bytes | Asked:
        nonlocal inputs, decode
        if takes.inputs is not inputs:
            inputs = takes.inputs
            decode = by_inputs(inputs)
        return decode(body)

    return decode_as_now


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
