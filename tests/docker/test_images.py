"""Images on a real engine: built, tried, run as their users run them, pushed and pulled."""

import json
import secrets
import shutil
import time
import urllib.error
import urllib.request

import msgspec
import pytest

from servd.datatypes import RouteRule, VersionId
from servd.errors import ImageError
from servd.imaging.builder import Builder
from servd.imaging.trial import LABEL
from tests.docker.heard import Heard
from tests.docker.registry import RefusingRegistry, Registry
from tests.image_specs import APPLICATION, make_bundle, spec_of, version_in

pytestmark = [pytest.mark.docker, pytest.mark.slow]

WAIT_S = 60


@pytest.fixture
def made(engine):
    """Yield a list; images and containers that a test puts into it are removed."""
    things = []
    yield things
    for thing in reversed(things):
        if isinstance(thing, str):
            engine.images.remove(thing, force=True)
        else:
            thing.remove(force=True, v=True)


@pytest.fixture
def build(engine, base_image, made, tmp_path):
    """Return a function that builds an image of a bundle under a name of its own."""

    def run(kind="replica", *, report=None, registry="", bundle=None, **changes):
        if bundle is None:
            bundle = make_bundle(tmp_path / secrets.token_hex(4))
        prefix = f"{registry}/" if registry else ""
        tag = f"{prefix}servd-test-{secrets.token_hex(4)}:1"
        given = {"tag": tag, "base_image": base_image, **changes}
        spec = spec_of(kind, bundle, **given)
        image_id = Builder(engine).build(spec, report)
        made.append(tag)
        return tag, image_id

    return run


def _until(check):
    end_s = time.monotonic() + WAIT_S
    while not (found := check()):
        assert time.monotonic() < end_s, "it did not come about in time"
        time.sleep(0.05)
    return found


def _get(url, body=None):
    try:
        with urllib.request.urlopen(url, body, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def _trials(engine, tag):
    """Return what is left of one image's trials; those of other workers go on meanwhile."""
    return engine.containers.list(all=True, filters={"label": f"{LABEL}={tag}"})


def test_a_rebuild_is_a_cache_hit(engine, build, tmp_path):
    """Equal content gives the same image, and nothing is left of its trials."""
    bundle = make_bundle(tmp_path / "b")
    report = Heard()
    one, first = build(bundle=bundle, report=report)
    other, second = build(bundle=bundle, report=report)
    assert first == second
    assert report.cached[1] is True
    assert all("replica ready in" in detail and "tested with" in detail for detail in report.tried)
    assert not _trials(engine, one)
    assert not _trials(engine, other)


def test_a_new_bundle_keeps_the_layers_of_the_packages(build, tmp_path):
    """Only what comes after the bundle is built again."""
    build()
    report = Heard()
    changed = make_bundle(tmp_path / "changed")
    (changed / "files" / "f.py").write_text("def f(xs):\n    return [1 for _ in xs]\n")
    build(bundle=changed, report=report)
    by_text = {step.summary.split()[1]: step for step in report.steps}
    assert by_text["lib"].is_cached
    assert not by_text["bundle"].is_cached


def test_a_replica_image_becomes_healthy_and_drains(engine, build, made):
    """Its HEALTHCHECK passes with a read-only root and no capability; SIGTERM ends it well."""
    tag, _ = build()
    container = engine.containers.run(
        tag, detach=True, read_only=True, tmpfs={"/tmp": ""}, cap_drop=["ALL"]
    )
    made.append(container)

    def health():
        container.reload()
        return container.attrs["State"]["Health"]["Status"]

    _until(lambda: health() == "healthy")
    assert container.attrs["Config"]["User"] == "10001:10001"
    assert list(container.attrs["Config"]["ExposedPorts"]) == ["7000/tcp"]
    container.stop(timeout=WAIT_S)
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0


def test_a_standalone_image_answers_on_its_one_port(engine, build, made):
    """`docker run -p PORT:5000` and a POST: by the application's name and at /predict."""
    tag, _ = build("standalone")
    container = engine.containers.run(
        tag,
        ["--replicas=2"],
        detach=True,
        read_only=True,
        tmpfs={"/tmp": ""},
        cap_drop=["ALL"],
        ports={"5000/tcp": ("127.0.0.1", 0)},
    )
    made.append(container)
    container.reload()
    port = container.attrs["NetworkSettings"]["Ports"]["5000/tcp"][0]["HostPort"]
    base = f"http://127.0.0.1:{port}"
    _until(lambda: _get(f"{base}/readyz")[0] == 200)
    assert _get(f"{base}/healthz")[0] == 200
    for path in ("/predict", "/iris/predict"):
        status, body = _get(base + path, b'{"input":[1,2.5]}')
        answer = json.loads(body)
        assert (status, answer["output"], answer["default"]) == (200, 3.5, False)
    container.stop(timeout=WAIT_S)
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0
    assert b"replica 1 is ready" in container.logs()


def test_the_example_is_the_test_call_of_a_standalone_image(build):
    """Its answer over HTTP is what the build tells."""
    report = Heard()
    build("standalone", report=report)
    assert report.tried[0].startswith("/iris/predict tested with [")
    assert report.tried[0].endswith(" -> 3.0")


def test_a_model_that_does_not_load_is_no_image(engine, build, tmp_path):
    """The traceback comes back, no tag is given, no container is left."""
    broken = make_bundle(tmp_path / "broken")
    (broken / "files" / "f.py").write_text("import nowhere_to_be_found\n")
    for kind in ("replica", "standalone"):
        tag = f"servd-test-{secrets.token_hex(4)}:1"
        with pytest.raises(ImageError, match="was built, but") as caught:
            build(kind, bundle=broken, tag=tag)
        assert "nowhere_to_be_found" in caught.value.traceback
        assert not engine.images.list(name=tag)
        assert not _trials(engine, tag)


def test_a_model_that_ends_its_process_is_no_image(build, tmp_path):
    """The status it ended with is told, and what it printed."""
    broken = make_bundle(tmp_path / "broken")
    source = "import os\nprint('last words', flush=True)\nos._exit(7)\n"
    (broken / "files" / "f.py").write_text(source)
    with pytest.raises(ImageError, match="it ended with status 7") as caught:
        build(bundle=broken)
    assert "last words" in caught.value.traceback


def test_an_example_that_only_gets_the_default_is_a_failure(build, tmp_path):
    """An answer that the model did not give does not prove the image."""
    slow = make_bundle(tmp_path / "slow", example=[5.0])
    source = "import time\ndef f(xs):\n    time.sleep(0.5)\n    return [0 for _ in xs]\n"
    (slow / "files" / "f.py").write_text(source)
    with pytest.raises(ImageError, match="default output"):
        build("standalone", bundle=slow)


def test_a_package_that_does_not_exist_fails_with_pips_words(build, tmp_path):
    """The step that failed, what pip printed, and the package's name in the hint."""
    bundle = make_bundle(tmp_path / "b", packages={"msgpack": "999.0"})
    with pytest.raises(ImageError, match="the build failed at RUN") as caught:
        build(bundle=bundle)
    assert "msgpack==999.0" in caught.value.traceback
    assert "msgpack==999.0" in caught.value.hint


@pytest.mark.parametrize(
    ("base", "said"),
    [("127.0.0.1:1/no/image:1", "base image"), ("scratch", "the build failed at")],
)
def test_a_base_image_that_cannot_be_used_is_named(build, base, said):
    """One that cannot be pulled, and one without a shell or Python."""
    with pytest.raises(ImageError, match=said):
        build(base_image=base)


def test_an_image_for_another_machine_is_refused(build):
    """An engine that has only its own platform's base image does not pass off its own."""
    with pytest.raises(ImageError, match="linux/s390x"):
        build(platform="linux/s390x")


def test_names_that_registries_refuse_go_in_as_labels(engine, build, tmp_path):
    """A model of Clipper's looser rule keeps its name inside."""
    bundle = make_bundle(tmp_path / "strange")
    strange = msgspec.structs.replace(version_in(bundle), model="A$b(c)", version="1+2")
    tag, _ = build(bundle=bundle, version=strange)
    labels = engine.images.get(tag).labels
    assert (labels["io.servd.model"], labels["io.servd.version"]) == VersionId("A$b(c)", "1+2")


@pytest.mark.skipif(shutil.which("docker-registry") is None, reason="no docker-registry here")
def test_an_image_is_pushed_and_pulled(engine, build, tmp_path):
    """What is pulled from the registry is what was built."""
    with Registry(tmp_path) as registry:
        tag, image_id = build(registry=registry.address)
        digest = Builder(engine).push(tag)
        name = tag.removesuffix(":1")
        assert registry.tags(name.partition("/")[2]) == ["1"]
        engine.images.remove(tag, force=True)
        pulled = engine.images.pull(name, tag="1")
        assert pulled.id == image_id
        assert f"{name}@{digest}" in pulled.attrs["RepoDigests"]


def test_a_registry_that_refuses_is_quoted_and_not_asked_again(engine, build):
    """Its own words are in the error; a refusal is final."""
    with RefusingRegistry(403, "DENIED", "this team may not push here") as registry:
        tag, _ = build(registry=registry.address)
        report = Heard()
        with pytest.raises(ImageError, match="denied") as caught:
            Builder(engine).push(tag, report)
    assert "docker login" in caught.value.hint
    assert report.errors == [""]


def test_a_registry_that_is_down_is_tried_again(engine, build):
    """Each attempt is told with why the last one failed, and the waits grow."""
    tag, _ = build(registry="127.0.0.1:1")
    report, waits = Heard(), []
    with pytest.raises(ImageError, match="connection refused") as caught:
        Builder(engine, sleep=waits.append).push(tag, report)
    assert "does a registry answer at 127.0.0.1:1" in caught.value.hint
    assert waits == [0.5, 1.0, 2.0]
    assert len(report.errors) == 4
    assert all(report.errors[1:])


def test_all_applications_of_a_model_are_in_its_image(engine, build, made):
    """The first answers at /predict with its own deadline and default; routes come along."""
    other = msgspec.structs.replace(APPLICATION, name="other", default_output="7")
    route = RouteRule(method="POST", path="/score", app="iris", takes="X", gives="score")
    tag, _ = build("standalone", applications=(other, APPLICATION), routes=(route,))
    container = engine.containers.run(
        tag, detach=True, ports={"5000/tcp": ("127.0.0.1", 0)}, read_only=True, tmpfs={"/tmp": ""}
    )
    made.append(container)
    container.reload()
    port = container.attrs["NetworkSettings"]["Ports"]["5000/tcp"][0]["HostPort"]
    base = f"http://127.0.0.1:{port}"
    _until(lambda: _get(f"{base}/readyz")[0] == 200)
    for name in ("other", "iris"):
        assert _get(f"{base}/{name}/predict", b'{"input":[1,1]}')[0] == 200
    assert _get(f"{base}/score", b'{"X":[1,2]}') == (200, b'{"score":3.0}')
    said = b"/predict and /other/predict and /iris/predict and POST /score"
    assert said in container.logs()


def test_a_front_end_image_is_ready_with_an_empty_registry(engine, build):
    """It holds no model; what it follows is mounted where it runs."""
    report = Heard()
    tag, _ = build("frontend", report=report)
    assert report.tried == ["ready on port 1337"]
    assert engine.images.get(tag).labels["io.servd.kind"] == "frontend"
