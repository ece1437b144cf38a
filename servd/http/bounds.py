"""What one request may ask for. Made of the settings; each refusal names the one that it met."""

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:  # the reader of long bodies starts sooner without it
    from servd.config import Config

LONG_BODY_BYTES: Final = 128 * 1024
"""A body that is longer, packed or unpacked, is not read on the event loop."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one body.

    `max_values` are the JSON values in a body for `any`, `max_ratio` how many times its size a
    packed body may unpack to.
    """

    max_body_bytes: int
    max_rows: int
    max_values: int
    max_ratio: int


def bounds_of(config: "Config") -> Bounds:
    """Return the bounds that the settings say."""
    return Bounds(
        max_body_bytes=config.max_body_bytes,
        max_rows=config.max_rows,
        max_values=config.max_values,
        max_ratio=config.max_ratio,
    )
