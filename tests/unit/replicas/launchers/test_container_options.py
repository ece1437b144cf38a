"""What containers are made like, and what they may use: pure functions."""

from pathlib import Path

import pytest

from servd.datatypes import DeployRequest, InputType, RegistryState
from servd.deploying.plan import plan_deploy
from servd.errors import InvalidValueError, VersionExistsError
from servd.registry.limits import ALL_GPUS, check_limits, parse_gpus
from servd.registry.rules import with_version
from servd.replicas.launchers import container_options as options
from servd.replicas.launchers.base import LaunchSpec
from tests.replicas import version_of

PLACE = options.Place(
    instance="abc", data_dir=Path("/data"), keys=Path("/keys"), runtime=Path("/model_runtime")
)


def spec_of(**changes):
    """Return what is to be launched."""
    version = version_of(runtime="docker", **changes)
    return LaunchSpec(version, 3, Path("/bundles/b"), Path("/log"))


def test_all_containers_are_hardened():
    """Whatever runs: nothing writable but /tmp, no capabilities, a limit of processes, no swap."""
    made = options.limits(PLACE, spec_of(memory_bytes=2**30, cpus=1.5))
    assert made["read_only"]
    assert (made["cap_drop"], made["security_opt"]) == (["ALL"], ["no-new-privileges"])
    assert made["pids_limit"] == options.PIDS_LIMIT
    assert list(made["tmpfs"]) == ["/tmp"]
    assert made["mem_limit"] == made["memswap_limit"] == 2**30
    assert made["nano_cpus"] == 1_500_000_000
    assert made["network_mode"] == "servd-abc"
    assert all(bind.endswith(":ro") for bind in made["binds"])
    assert not {"mem_limit", "memswap_limit", "nano_cpus"} & options.limits(PLACE, spec_of()).keys()


def test_files_are_mounted_into_an_image_that_was_named_only():
    """With files and an image the runtime is mounted; else the image is run as it is."""
    described = {"Id": "sha256:1", "Config": {"Env": ["PYTHONPATH=/there", "A=b"], "User": "app"}}
    mounted = options.creation(PLACE, spec_of(image="x"), described, "n")
    assert mounted["entrypoint"][:3] == ["python3", "-m", "model_runtime"]
    assert mounted["environment"]["PYTHONPATH"] == "/opt/servd/runtime:/there"
    assert mounted["user"] is None
    assert len(options.limits(PLACE, spec_of(image="x"))["binds"]) == 3
    for spec in (spec_of(image="x", bundle=None), spec_of()):
        made = options.creation(PLACE, spec, {"Id": "sha256:1", "Config": None}, "n")
        assert "entrypoint" not in made
        assert "PYTHONPATH" not in made["environment"]
        assert made["user"] == options.USER
        assert made["environment"]["SERVD_CURVE"] == options.KEYS_DIR
        assert options.limits(PLACE, spec)["binds"] == [f"/keys:{options.KEYS_DIR}:ro"]


def test_names_and_labels_tell_what_a_container_is():
    """People find it by its name, servd by its labels."""
    made = options.creation(PLACE, spec_of(model="a model/é"), {"Id": "i"}, "n0")
    assert made["name"] == "servd-a-model--1-3-abc-n0"
    assert made["labels"]["io.servd.model"] == "a model/é"
    assert made["labels"]["io.servd.instance"] == "abc"
    assert made["labels"]["io.servd.replica"] == "3"


@pytest.mark.parametrize(
    ("configured", "user"),
    [("", options.USER), ("root", options.USER), ("0:0", options.USER), ("1000", None)],
    ids=str,
)
def test_nothing_runs_as_root(configured, user):
    """An image's own user is kept unless it is root."""
    assert options.user_for(configured) == user


def test_ends_in_words():
    """A status above 128 is a signal; memory is blamed where it is known to be the reason."""
    assert [options.exit_code(status) for status in (0, 3, 137, 255)] == [0, 3, -9, 255]
    limited = spec_of(memory_bytes=120 * 2**20)
    oom = options.end_reason(limited, 137, is_oom=True)
    assert oom == "was killed: out of memory: its limit is 120 MiB (--memory)"
    assert options.end_reason(spec_of(), 137, is_oom=True) == "was killed: it ran out of memory"
    assert options.end_reason(limited, 137, is_oom=False) == "ended (killed by signal 9)"
    assert options.end_reason(limited, 3, is_oom=False) == ""


def test_gpus():
    """All, some number, or some by name."""
    assert parse_gpus("all") == ALL_GPUS
    assert options.gpu_request("2") == {"count": 2, "capabilities": [["gpu"]]}
    assert options.gpu_request("device=0,GPU-1a")["device_ids"] == ["0", "GPU-1a"]


@pytest.mark.parametrize("text", ["", "0", "some", "device=", "-1", "9" * 50])
def test_bad_gpus(text):
    """Everything else is refused with what can be given."""
    with pytest.raises(InvalidValueError, match="which GPUs"):
        parse_gpus(text)


@pytest.mark.parametrize(
    "limits",
    [(1024, None, None), (None, 0.0, None), (None, 5000.0, None), (None, float("nan"), None)],
    ids=str,
)
def test_bad_limits(limits):
    """Limits that no container can have are refused."""
    with pytest.raises(InvalidValueError, match=r"no number of processors|memory"):
        check_limits(*limits)


def plan(**changes):
    """Plan a deployment of an image into an empty registry."""
    request = DeployRequest(**({"model": "m", "runtime": "docker", "image": "x:1"} | changes))
    return plan_deploy(RegistryState(), request, "doubles")


def test_an_image_alone_is_a_version_that_runs():
    """Without files it is the image that is run; it is no containerless model."""
    version = plan(memory_bytes=2**30, cpus=2.0, gpus="all").version
    assert (version.image, version.bundle, version.is_runnable) == ("x:1", None, True)
    assert (version.memory_bytes, version.cpus, version.gpus) == (2**30, 2.0, "all")
    assert not version_of(bundle=None).is_runnable


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": None}, "nothing to run"),
        ({"runtime": "process"}, "--image is for containers"),
        ({"runtime": "process", "image": None, "bundle": "b", "gpus": "1"}, "--gpus"),
        ({"image": "no such name"}, "not the name of an image"),
        ({"gpus": "some"}, "which GPUs"),
    ],
    ids=["nothing", "image of a process", "gpus of a process", "bad name", "bad gpus"],
)
def test_container_settings_that_are_refused(changes, words):
    """The error names the setting, whichever API it came by."""
    with pytest.raises(InvalidValueError, match=words):
        plan(**changes)


def test_a_version_is_not_deployed_again_with_other_limits():
    """What a known version runs and may use is part of what it is."""
    known = plan(version="1", memory_bytes=2**30).version
    state = with_version(RegistryState(), known)
    assert known.input_type is InputType.DOUBLES
    request = DeployRequest(
        model="m", version="1", runtime="docker", image="x:1", memory_bytes=2**31
    )
    with pytest.raises(VersionExistsError) as refused:
        plan_deploy(state, request, "doubles")
    assert "its memory differ" in refused.value.hint
