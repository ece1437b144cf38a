"""An application as its documents show it. Made by http/query/documents.py of a route."""

import msgspec

from model_runtime.signature import Signature
from servd.datatypes import Inputs


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """What its documents say of an application.

    `versions` are those of its `model` that queries may name, `version` is the current one.
    `default` is its default output as a JSON text. `row_items` is how many numbers an input must
    have, None where that is not known. `is_guarded` says that queries need a token.
    """

    name: str
    inputs: Inputs
    model: str | None = None
    version: str | None = None
    versions: tuple[str, ...] = ()
    default: bytes | None = None
    slo_s: float = 0.0
    row_items: int | None = None
    max_rows: int = 16_384
    is_guarded: bool = False

    @property
    def signature(self) -> Signature | None:
        """What the current version says of its inputs and outputs."""
        return self.inputs.signature

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/{self.name}"
