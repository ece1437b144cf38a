"""Types that APIs are annotated with."""

from typing import Any

JsonSerializable = Any
"""What JSON has: texts, numbers, lists, objects."""
