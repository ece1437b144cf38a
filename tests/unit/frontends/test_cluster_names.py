"""What a cluster's names and registries mean: the pure functions of frontends/cluster.py."""

import msgspec
import pytest

from servd.datatypes import InputType, RegistryState, VersionId, is_another
from servd.frontends.cluster import addresses, currents
from servd.registry.published import VersionAddress
from tests.replicas import version_of

ONE, TWO = version_of("1", max_batch=1), version_of("2", max_batch=1)


def test_addresses_and_their_versions():
    """IPv6 stands in brackets; a version without an endpoint's addresses has no replicas."""
    found = {"h": frozenset({"10.0.0.1", "fd00::1"}), "g": frozenset()}
    endpoints = {ONE.id: VersionAddress("h", 7000), TWO.id: VersionAddress("g", 1)}
    assert addresses({ONE.id, TWO.id}, endpoints, found) == {
        "tcp://10.0.0.1:7000": ONE.id,
        "tcp://[fd00::1]:7000": ONE.id,
    }
    endpoints = {ONE.id: VersionAddress("h", 7000, "tls")}
    tls = addresses({ONE.id}, endpoints, found)
    assert tls.keys() == {"tls://10.0.0.1:7000", "tls://[fd00::1]:7000"}


def test_current_versions_are_those_that_answer():
    """A model that no application is linked to answers nobody."""
    state = RegistryState(current={"m": "1", "n": "1"}, links={"a": ("m",), "b": (), "c": ("x",)})
    assert currents(state) == {VersionId("m", "1")}


@pytest.mark.parametrize(
    ("change", "is_new"),
    [
        ({}, False),
        ({"replicas": 9, "labels": ("l",)}, False),
        ({"bundle": "other"}, True),
        ({"input_type": InputType.STRINGS}, True),
        ({"batch_wait_us": 5}, True),
        ({"image": "other:1"}, True),
        ({"image_digest": "sha256:1"}, True),
        ({"created_s": 7.0}, False),
        ({"created_s": 7.0, "bundle": None}, True),
    ],
    ids=["same", "scaled", "bundle", "type", "batching", "image", "digest", "later", "registered"],
)
def test_what_makes_a_version_another_one(change, is_new):
    """What is computed and how, not how often; of one without files, when it was registered."""
    now = msgspec.structs.replace(ONE, **change)
    before = msgspec.structs.replace(ONE, bundle=now.bundle) if "created_s" in change else ONE
    assert is_another(before, now) is is_new
