"""Types that APIs are annotated with."""

from __future__ import annotations

from typing import Any

JsonSerializable = Any
"""What JSON has: texts, numbers, lists, objects."""
