"""What a builder does when the engine lets it down; real builds are in tests/docker."""

import pytest

from servd.errors import ImageError
from servd.imaging.builder import BUILD_ATTEMPTS, LOST_PARENT, Builder
from tests.image_specs import spec_of

LOST = [{"stream": "Step 1/1 : COPY a b\n"}, {"error": f"failed to export: {LOST_PARENT} sha256:1"}]


class Engine:
    """An engine's client whose builds end as told."""

    def __init__(self, builds):
        self.api = self
        self.builds = builds
        self.count = 0

    def build(self, **_settings):
        """Return the messages of the next build."""
        self.count += 1
        return iter(self.builds.pop(0))


def test_a_layer_that_vanishes_under_a_build_is_built_again():
    """Somebody else may remove an image at any time; a build that loses its parent is no fault."""
    engine = Engine([LOST, [{"error": "something else"}]])
    with pytest.raises(ImageError, match="something else"):
        Builder(engine).build(spec_of("frontend"))
    assert engine.count == 2


def test_a_layer_that_always_vanishes_is_an_error():
    """It is not tried for ever."""
    engine = Engine([LOST] * (BUILD_ATTEMPTS + 1))
    with pytest.raises(ImageError, match=LOST_PARENT):
        Builder(engine).build(spec_of("frontend"))
    assert engine.count == BUILD_ATTEMPTS
