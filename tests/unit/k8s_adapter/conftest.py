"""The state that the tests of exports share."""

from tests.export_state import objects, registry, secured, snapshot

__all__ = ["objects", "registry", "secured", "snapshot"]
