"""The options of an export: what is refused, and with which words."""

import dataclasses

import pytest

from k8s_adapter.errors import ExportError, KubeVersionError, OptionError
from k8s_adapter.kube_version import DEFAULT, NEWEST, OLDEST, KubeVersion, parse_kube_version
from k8s_adapter.options import Options, check_options
from k8s_adapter.quantity import format_cpu, format_memory, parse_cpu, parse_memory


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("namespace", "My_Team", "namespace 'My_Team'"),
        ("image_pull_secret", "a b", "image pull secret 'a b'"),
        ("ingress", "http://x", "ingress host 'http://x'"),
        ("service_type", "Loadbalancer", "not a type of Service"),
        ("min_replicas", 0, "--min has to be"),
        ("min_replicas", 6, "--max 5 is below --min 6"),
        ("cpu_target", 0, "--cpu-target 0"),
        ("cpu_target", 101, "--cpu-target 101"),
        ("frontend_replicas", 0, "at least one frontend"),
        ("cpu_request", "fast", "not an amount of CPU"),
        ("memory", "0", "not an amount of memory"),
    ],
    ids=str,
)
def test_a_refused_option_is_told_with_a_hint(field: str, value: object, said: str):
    """Each option out of range is refused with what is wrong and an example of what is right."""
    with pytest.raises(ExportError) as caught:
        check_options(dataclasses.replace(Options(), **{field: value}))
    assert said in caught.value.message
    assert caught.value.hint


def test_the_defaults_pass():
    """An export without any option is a valid one."""
    check_options(Options())


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1.29", (1, 29)),
        ("v1.29.3", (1, 29)),
        ("1.27.3-gke.100", (1, 27)),
        ("1.31.1+k3s1", (1, 31)),
        (str(OLDEST), OLDEST),
        (str(NEWEST), NEWEST),
    ],
    ids=str,
)
def test_kubernetes_versions_are_read(text: str, version: tuple[int, int]):
    """What `kubectl version` prints is understood."""
    assert parse_kube_version(text) == version


@pytest.mark.parametrize("text", ["", "latest", "1", "1.x", "1.20", "1.38", "2.0", "1.29.3.4"])
def test_unknown_kubernetes_versions_are_refused(text: str):
    """A version that no export was validated for is refused with the range of those that were."""
    with pytest.raises(KubeVersionError) as caught:
        parse_kube_version(text)
    assert str(OLDEST) in caught.value.hint
    assert str(NEWEST) in caught.value.hint


def test_the_default_version_is_in_the_range():
    """The version that is taken where none is given is a known one."""
    assert OLDEST <= DEFAULT <= NEWEST
    assert str(KubeVersion(1, 9)) == "1.9"


@pytest.mark.parametrize(
    ("text", "millis"), [("250m", 250), ("1", 1000), ("0.5", 500), (".25", 250), ("2.125", 2125)]
)
def test_amounts_of_cpu_are_read(text: str, millis: int):
    """Amounts of CPU are read in thousandths."""
    assert parse_cpu(text) == millis


@pytest.mark.parametrize("text", ["", "0", "m", "1 cpu", "-1", "0.0001", "1.5m"])
def test_wrong_amounts_of_cpu_are_refused(text: str):
    """What is no amount of CPU, or none at all, is refused."""
    with pytest.raises(OptionError, match="is not an amount of CPU"):
        parse_cpu(text)


@pytest.mark.parametrize(
    ("text", "size"), [("512Mi", 512 << 20), ("1G", 10**9), ("1.5Gi", 3 << 29), ("1000", 1000)]
)
def test_amounts_of_memory_are_read(text: str, size: int):
    """Amounts of memory are read in bytes."""
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "0", "Mi", "1GB", "-1Gi", "1 Gi"])
def test_wrong_amounts_of_memory_are_refused(text: str):
    """What is no amount of memory, or none at all, is refused."""
    with pytest.raises(OptionError, match="is not an amount of memory"):
        parse_memory(text)


def test_amounts_are_written_short():
    """Amounts are written in the largest unit that is exact."""
    assert [format_cpu(1000), format_cpu(1500)] == ["1", "1500m"]
    assert [format_memory(2 << 30), format_memory(512 << 20), format_memory(1000)] == [
        "2Gi",
        "512Mi",
        "1000",
    ]
