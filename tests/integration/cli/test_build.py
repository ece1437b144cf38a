"""`servd build` up to the engine: what is chosen, written, refused. The engine: tests/docker."""

import asyncio
import json
import shutil
import sys

import pytest

from model_runtime.bundle import digest_of
from servd.cli.build_body import choose
from servd.datatypes import Application, InputType, ModelVersion, RegistryState
from servd.errors import ConflictError, NotFoundError
from servd.registry.store import Store, put_application, put_current, put_link, put_version
from tests.image_specs import make_bundle
from tests.replicas import bundle_tar

APP = {"name": "flowers", "input_type": "doubles", "slo_us": 50000, "default_output": "-1"}


def _version(version="1", **changes):
    given = {"model": "iris", "input_type": InputType.DOUBLES, "bundle": "b", **changes}
    return ModelVersion(version=version, **given)


def _state(*versions, apps=("flowers",), links=True, current="1"):
    return RegistryState(
        applications={
            name: Application(name=name, input_type=InputType.DOUBLES, slo_us=1) for name in apps
        },
        versions={version.id: version for version in versions},
        current={"iris": current} if current else {},
        links=dict.fromkeys(apps, ("iris",)) if links else {},
    )


@pytest.fixture
def bundle(tmp_path):
    """Return the folder of a bundle and its digest."""
    folder = make_bundle(tmp_path / "made")
    return folder, digest_of(folder)


@pytest.fixture
def stored(data_dir, bundle, monkeypatch):
    """Fill a data directory without a daemon: one version, one application, the bundle."""
    monkeypatch.delenv("SERVD_BASE_IMAGE", raising=False)  # as it may be where images are tried
    folder, digest = bundle
    shutil.copytree(folder, data_dir / "bundles" / digest)
    version = _version(bundle=digest)
    app = Application(name="flowers", input_type=InputType.DOUBLES, slo_us=50000)
    changes = [
        *(put_version(version), put_current(version.id)),
        *(put_application(app), put_link("flowers", "iris")),
    ]

    async def fill():
        async with Store(data_dir / "servd.db") as store:
            await store.write(changes)

    asyncio.run(fill())
    return data_dir


@pytest.mark.parametrize(
    ("target", "kind", "found"),
    [
        ("flowers", None, ("standalone", "1", ["flowers", "iris", "zoo"])),
        ("zoo", None, ("standalone", "1", ["zoo", "iris", "flowers"])),
        ("iris:2", None, ("replica", "2", ["iris", "flowers", "zoo"])),
        ("iris:2", "standalone", ("standalone", "2", ["iris", "flowers", "zoo"])),
        ("flowers", "replica", ("replica", "1", ["flowers", "iris", "zoo"])),
    ],
)
def test_an_application_is_standalone_and_a_version_is_a_replica(target, kind, found):
    """Unless --kind says; who was asked for answers at /predict, else who is called like it."""
    state = _state(_version(), _version("2"), apps=("zoo", "flowers", "iris"))
    chosen = choose(state, target, kind)
    names = [app.name for app in chosen.applications]
    assert (chosen.kind, chosen.version.version, names) == found


def test_a_model_without_an_application_gets_one_of_its_name():
    """A standalone image needs a path to answer at; a reserved name is left alone."""
    state = _state(_version(), apps=())
    assert choose(state, "iris", "standalone").applications[0].name == "iris"
    reserved = _state(_version(model="predict"), apps=(), current="")
    assert choose(reserved, "predict:1", "standalone").applications[0].name == "predict-app"


@pytest.mark.parametrize(
    ("state", "target", "error", "said"),
    [
        (_state(_version()), "flower", NotFoundError, "no application or model 'flower'"),
        (_state(_version()), "rose:1", NotFoundError, "rose"),
        (_state(_version()), "iris:9", NotFoundError, "'9'"),
        (_state(_version(), links=False), "flowers", ConflictError, "has no model"),
        (_state(_version(), apps=(), current=""), "iris", NotFoundError, "no current version"),
        (_state(_version(bundle=None)), "iris:1", ConflictError, "containerless"),
    ],
    ids=["misspelt", "no-model", "no-version", "unlinked", "no-current", "no-files"],
)
def test_what_cannot_be_built_is_refused_by_name(state, target, error, said):
    """Each refusal says what is wrong."""
    with pytest.raises(error, match=said):
        choose(state, target, None)


def test_a_context_is_written_without_a_daemon(run, stored, tmp_path):
    """The registry's file and the bundle are read from the data directory, and not changed."""
    before = (stored / "servd.db").read_bytes()
    done = run("build", "flowers", "--context-only", str(tmp_path / "c"), "--registry", "r:5000")
    assert done.exit_code == 0, done.stderr
    assert f"docker build -t r:5000/iris-standalone:1 {tmp_path / 'c'}" in done.stdout
    assert (tmp_path / "c" / "bundle" / "files" / "f.py").is_file()
    assert "FROM python:3.11-slim" in (tmp_path / "c" / "Dockerfile").read_text()
    assert (stored / "servd.db").read_bytes() == before
    again = run(
        *("build", "iris:1", "--context-only", str(tmp_path / "c"), "--tag", "own"),
        *("--base-image", "mine:2", "--threads", "3", "--json"),
    )
    document = json.loads(again.stdout)
    assert (document["image"], document["kind"]) == ("own:latest", "replica")
    text = (tmp_path / "c" / "Dockerfile").read_text()
    assert "FROM mine:2" in text
    assert "OMP_NUM_THREADS=3" in text
    assert not (tmp_path / "c" / "applications.json").exists()


def test_the_base_image_can_be_a_setting(run, stored, tmp_path):
    """A line of servd.toml is what images are built on, and --base-image goes before it."""
    (stored / "servd.toml").write_text('base-image = "own:1"\n')
    words = ("build", "iris:1", "--context-only", str(tmp_path / "c"))
    for more, expected in (((), "own:1"), (("--base-image", "mine:2"), "mine:2")):
        done = run(*words, *more)
        assert done.exit_code == 0, done.stderr
        assert f"FROM {expected}\n" in (tmp_path / "c" / "Dockerfile").read_text()


def test_packages_can_be_flags_and_settings(run, stored, tmp_path):
    """A flag counts before the setting of its name; what cannot be built is refused."""
    (tmp_path / "r.txt").write_text("numpy>=1\n")
    (stored / "servd.toml").write_text(
        f'requirements = "{tmp_path / "r.txt"}"\napt = ["libgomp1"]\n'
        'extra-index = "https://one.example/simple https://two.example/simple"\n'
    )
    words = ("build", "iris:1", "--context-only", str(tmp_path / "c"))
    assert run(*words).exit_code == 0
    text = (tmp_path / "c" / "Dockerfile").read_text()
    assert "--extra-index-url https://one.example/simple" in text
    assert "--extra-index-url https://two.example/simple" in text
    assert "    libgomp1 \\\n" in text
    assert "numpy>=1\n" in (tmp_path / "c" / "requirements.txt").read_text()
    secret = "https://me:secret@packages.example/simple"
    done = run(*words, "--extra-index", secret, "--apt", "gcc", "--apt", "g++")
    assert "pip.conf holds the password" in done.stderr
    assert "secret" not in done.stdout + done.stderr
    text = (tmp_path / "c" / "Dockerfile").read_text()
    assert "    g++ gcc \\\n" in text
    assert "one.example" not in text
    refused = run(*words, "--apt", "a;b")
    assert (refused.exit_code, "--apt a;b" in refused.stderr) == (2, True)


def test_what_no_index_has_is_said(run, stored, tmp_path, monkeypatch):
    """Before anything is built: by name, with what becomes of it."""
    site = tmp_path / "site" / "ourlib-1.0+x.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: ourlib\nVersion: 1.0+x\n")
    monkeypatch.syspath_prepend(str(site.parent))
    (tmp_path / "r").mkdir()
    folder = make_bundle(tmp_path / "r" / "b", packages={"ourlib": "1.0+x", "other": "2.0+y"})
    shutil.copytree(folder, stored / "bundles" / digest_of(folder))

    async def change():
        async with Store(stored / "servd.db") as store:
            await store.write([put_version(_version("2", bundle=digest_of(folder)))])

    asyncio.run(change())
    done = run("build", "iris:2", "--context-only", str(tmp_path / "c"))
    assert "ourlib 1.0+x has a local version" in done.stderr
    assert "other 2.0+y has a local version" in done.stderr
    assert "--wheel FILE" in done.stderr
    told = json.loads(
        run("build", "iris:2", "--context-only", str(tmp_path / "c"), "--json").stdout
    )
    assert len(told["warnings"]) == 2


def test_files_are_built_on_the_image_that_they_were_deployed_into(run, stored, bundle, tmp_path):
    """It has what they need; --base-image takes another one."""
    version = _version(bundle=bundle[1], image="theirs:1", runtime="docker")

    async def change():
        async with Store(stored / "servd.db") as store:
            await store.write([put_version(version)])

    asyncio.run(change())
    (stored / "servd.toml").write_text('base-image = "own:1"\n')
    words = ("build", "iris:1", "--context-only", str(tmp_path / "c"))
    for more, expected in (((), "theirs:1"), (("--base-image", "mine:2"), "mine:2")):
        assert run(*words, *more).exit_code == 0
        assert f"FROM {expected}\n" in (tmp_path / "c" / "Dockerfile").read_text()


def test_a_bundle_comes_over_the_admin_api_where_its_folder_is_elsewhere(
    run, admin, bundle, tmp_path
):
    """A daemon whose data directory cannot be read sends the tar."""
    folder, digest = bundle
    version = {"model": "iris", "version": "1", "input_type": "doubles", "bundle": digest}
    registry = {
        "applications": [APP],
        "versions": [version],
        "current": {"iris": "1"},
        "links": {"flowers": ["iris"]},
    }
    admin.answers |= {
        "GET /registry": (200, registry),
        f"GET /bundles/{digest}": (200, bundle_tar(folder).decode("latin-1")),
    }
    done = run("build", "flowers", "--context-only", str(tmp_path / "c"))
    assert done.exit_code == 0, done.stderr
    written = json.loads((tmp_path / "c" / "applications.json").read_text())
    assert written["applications"][0]["default_output"] == "-1"
    assert digest_of(tmp_path / "c" / "bundle") == digest


def test_a_bundle_that_is_nowhere_is_said_to_be(run, stored, bundle, tmp_path):
    """With the daemon down and the folder gone there is nothing to build."""
    shutil.rmtree(stored / "bundles" / bundle[1])
    done = run("build", "flowers", "--context-only", str(tmp_path / "c"))
    assert done.exit_code == 1
    assert "the bundle of iris:1 is not in" in done.stderr


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        ((), "name a MODEL", 2),
        (("iris", "--kind", "frontend"), "leave TARGET out", 2),
        (("iris", "--push", "--context-only", "x"), "contradict", 2),
        (("iris", "--push"), "names none", 2),
        (("iris", "--kind", "other"), "other", 2),
        (("flowers", "--tag", "NOT LEGAL"), "is not a name for an image", 2),
        (("flowers", "--registry", "http://x"), "is not a registry", 2),
    ],
    ids=["no-target", "frontend-of", "push-context", "push-nowhere", "kind", "tag", "registry"],
)
def test_words_that_make_no_sense_are_usage_errors(run, stored, words, said, code):
    """They are refused before anything is written or built."""
    del stored
    done = run("build", *words)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr


def test_without_a_daemon_and_a_registry_there_is_nothing_to_build(run, data_dir):
    """The exit code is that of a daemon that does not run."""
    del data_dir
    assert run("build", "iris").exit_code == 3


def test_a_front_end_needs_neither(run, data_dir, tmp_path):
    """Its image holds no model, so no daemon is asked."""
    del data_dir
    done = run("build", "--kind", "frontend", "--context-only", str(tmp_path / "c"))
    assert done.exit_code == 0, done.stderr
    assert "servd-frontend" in done.stdout


def test_without_an_engine_the_error_says_how_to_get_one(run, stored, monkeypatch):
    """The address that was tried, the system's reason, and the way without containers."""
    del stored
    pytest.importorskip("docker")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    done = run("build", "flowers")
    assert done.exit_code == 1
    assert "no container engine answers at unix:///nowhere/docker.sock: No such file" in done.stderr
    assert "--runtime process" in done.stderr


def test_a_file_in_a_contexts_place_is_refused(run, stored, tmp_path):
    """A folder with other files is not written into unless it is forced."""
    del stored
    (tmp_path / "notes").write_text("mine")
    done = run("build", "flowers", "--context-only", str(tmp_path))
    assert done.exit_code == 1
    assert "--force" in done.stderr
    assert run("build", "flowers", "--context-only", str(tmp_path), "--force").exit_code == 0
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize(
    "words",
    [
        ("build", "flowers"),
        ("build", "--kind", "frontend"),
        ("export-k8s", "--build"),
        ("export-k8s", "--push", "--image-registry", "host"),
        ("export-k8s", "--standalone", "--build"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("stored")
def test_without_the_docker_sdk_it_says_how_to_get_it(run, tmp_path, monkeypatch, words):
    """Every verb that wants an engine: the SDK is an extra."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "docker"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("builder", "trial"):
        monkeypatch.delitem(sys.modules, f"servd.imaging.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "docker", None)
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)  # and no error that nobody expected
    assert "the Docker SDK is not installed (docker)" in done.stderr
    assert "pip install 'servd[docker]'" in done.stderr
    assert not (tmp_path / "k8s").exists()


@pytest.mark.usefixtures("stored")
def test_without_the_schemas_a_check_ends_before_anything_is_written(run, tmp_path, monkeypatch):
    """Kubernetes' schemas are an extra, which is named; an export without --check does without."""
    for name in ("kubernetes_validate", "kubernetes_validate.utils"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "kubernetes_validate", None)
    monkeypatch.chdir(tmp_path)
    done = run("export-k8s", "--check")
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    assert "are not installed (no module kubernetes_validate)" in done.stderr
    assert "pip install 'servd[k8s]'" in done.stderr
    assert not (tmp_path / "k8s").exists()
    assert run("export-k8s").exit_code == 0
    assert (tmp_path / "k8s").is_dir()
