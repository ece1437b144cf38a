"""The state that the tests of exports share; schemas are read once, equal objects written once."""

from tests.export_state import objects, registry, secured, snapshot
from tests.kept_texts import kept_schemas, kept_texts

__all__ = ["kept_schemas", "kept_texts", "objects", "registry", "secured", "snapshot"]
