"""What is said of an image that could not be made."""

import pytest

from servd.errors import EngineError
from servd.imaging.failures import (
    build_failure,
    is_worth_retrying,
    load_failure,
    push_failure,
    trial_failure,
)

RUN = "RUN python3 -m pip install"
CODE = "The command '/bin/sh -c python3 -m pip' returned a non-zero code: 1"


@pytest.mark.parametrize(
    ("error", "output", "hint"),
    [
        ("write /x: no space left on device", [], "docker system df"),
        (CODE, ["OSError: [Errno 28] No space left on device"], "docker system df"),
        ("exec /bin/sh: exec format error", [], "--platform"),
        (CODE, ["ERROR: No matching distribution found for numpy==9"], "numpy==9"),
        (CODE, ["ERROR: No matching distribution found for a==1+x"], "--extra-index URL"),
        (CODE, ["ERROR: ResolutionImpossible: for help"], "contradict each other"),
        (CODE, ["Temporary failure in name resolution"], "cannot reach the network"),
        (
            CODE,
            [
                "WARNING: Retrying (Retry(total=0)): Failed to establish a new connection",
                "ERROR: No matching distribution found for click==8.5.1",
            ],
            "cannot reach the network",
        ),
        ("returned a non-zero code: 127", [], "has no python3"),
        ("something new", [], ""),
    ],
)
def test_a_failed_step_is_shown_with_its_output_and_what_to_do(error, output, hint):
    """The engine's words, the step, the last lines that it printed, and a hint if one is known."""
    found = build_failure(error, "base:1", RUN, output)
    assert found.message == f"the build failed at {RUN}: {error}"
    assert found.traceback == "\n".join(output)
    assert hint in found.hint
    assert bool(hint) == bool(found.hint)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("pull access denied for base", "docker login"),
        ("manifest for base:1 not found: manifest unknown", "is its name right"),
        ("dial tcp: lookup registry: no such host", "--base-image"),
        (
            "image was found but does not match the specified platform: wanted linux/arm64",
            "--platform",
        ),
    ],
)
def test_a_base_image_that_cannot_be_had_is_named(error, hint):
    """A failure at FROM, or before it, is one of the base image."""
    for instruction in ("", "FROM base:1"):
        found = build_failure(error, "base:1", instruction, ())
        assert "base image base:1" in found.message
        assert hint in found.hint


@pytest.mark.parametrize(
    ("error", "hint", "is_passing"),
    [
        ("unauthorized: authentication required", "docker login r:5000", False),
        ("denied: requested access to the resource is denied", "docker login", False),
        ("dial tcp 1.2.3.4:5000: connect: connection refused", "does a registry answer", True),
        ("server gave HTTP response to HTTPS client", "insecure-registries", False),
        ("received unexpected HTTP status: 503 Service Unavailable", "", True),
        ("name invalid: NAME_INVALID", "", False),
    ],
)
def test_a_registrys_own_error_is_shown(error, hint, is_passing):
    """Its words come first; what may be passing is tried again, a refusal is not."""
    found = push_failure("r:5000/iris:1", error)
    assert error in found.message
    assert hint in found.hint
    assert is_worth_retrying(error) is is_passing


@pytest.mark.parametrize(
    ("reference", "registry"),
    [
        ("iris:1", "docker.io"),
        ("team/iris:1", "docker.io"),
        ("localhost/iris:1", "localhost"),
        ("r.example/team/iris:1", "r.example"),
    ],
)
def test_the_registry_of_a_short_name_is_docker_hub(reference, registry):
    """What stands before the first slash is a registry only where it looks like a host."""
    assert push_failure(reference, "denied: no").hint == f"log in first: docker login {registry}"


def test_without_an_engine_the_way_without_containers_is_named():
    """The hint says how to get one and that processes do without."""
    found = EngineError.unanswered("unix:///x", "No such file or directory")
    assert "unix:///x" in found.message
    assert "--runtime process" in found.hint
    assert "docker.io" in found.hint


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("ModuleNotFoundError: No module named 'sklearn'", "import it there and deploy again"),
        ("ValueError: no", "what the replica advises"),
        ("", "what the replica advises"),
    ],
)
def test_a_model_that_does_not_load_comes_with_what_helps_in_an_image(message, hint):
    """To install a missing module where servd runs would change nothing in the image."""
    said = {"message": message, "traceback": "a line", "hint": "what the replica advises"}
    found = load_failure("iris:1", said)
    assert message in found.message
    assert found.message.startswith("iris:1 was built, but its model does not load: ")
    assert found.traceback == "a line"
    assert hint in found.hint


def test_an_image_that_does_not_answer_shows_its_log():
    """What the container printed is the traceback."""
    found = trial_failure("iris:1", "it ended with status 1", "a line")
    assert found.message == "iris:1 was built, but it ended with status 1"
    assert found.traceback == "a line"
