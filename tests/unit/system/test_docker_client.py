"""What the SDK of the container engine raises, in servd's errors."""

import pytest
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import ConnectionError as BrokenConnectionError

from servd.errors import EngineError, ImageError
from servd.system.docker_client import engine_errors


@pytest.mark.parametrize("kind", [APIError, NotFound])
def test_a_refusal_has_the_engines_words(kind):
    """In the error that whoever calls wants of them."""
    with pytest.raises(ImageError, match=r"^no such layer$"), engine_errors(ImageError):
        raise kind("404 for url", explanation=" no such layer\n")


@pytest.mark.parametrize("kind", [DockerException, BrokenConnectionError])
def test_an_engine_that_breaks_off_is_no_refusal(kind):
    """The innermost reason is told, which is the system's, and what to ask the engine."""
    broken = kind("HTTPConnectionPool(...)")
    broken.__cause__ = ConnectionResetError(104, "Connection reset by peer")
    with (
        pytest.raises(EngineError, match=r"broke off: .* by peer$") as told,
        engine_errors(ImageError),
    ):
        raise broken
    assert "docker info" in told.value.hint
