"""The published registry: what its file may hold, and how changes of it are noticed."""

import json

import msgspec
import pytest

from servd.datatypes import Application, InputType, RegistryState, VersionId
from servd.registry.published import (
    Published,
    PublishedError,
    PublishedFile,
    VersionAddress,
    decode,
    encode,
)
from servd.registry.snapshot import pack_state
from tests.replicas import version_of

STATE = RegistryState(
    applications={"a": Application(name="a", input_type=InputType.DOUBLES, slo_us=100_000)},
    versions={VersionId("m", "1"): version_of("1"), VersionId("m", "2"): version_of("2")},
    current={"m": "1"},
    links={"a": ("m",)},
)
PUBLISHED = Published(
    pack_state(STATE), {"m:1": VersionAddress("m-1"), "m:2": VersionAddress("m-2", 7777)}
)


def _changed(change):
    """Return the text of a published registry that was changed as JSON."""
    document = json.loads(encode(PUBLISHED))
    change(document)
    return json.dumps(document).encode()


def test_a_file_holds_what_was_written():
    """State and endpoints come back; equal ones have the same text."""
    published = decode(encode(PUBLISHED))
    assert published == PUBLISHED
    assert published.state() == STATE
    assert published.by_version()["m", "2"] == VersionAddress("m-2", 7777)
    assert encode(published) == encode(PUBLISHED)


def test_the_port_may_be_left_out_and_new_fields_are_ignored():
    """There is room to grow, and the usual port needs no mention."""

    def change(document):
        del document["endpoints"]["m:1"]["port"]
        document["endpoints"]["m:1"]["new"] = document["new"] = 1

    assert decode(_changed(change)) == PUBLISHED


def test_an_export_of_before_tls_is_read():
    """Its registry says nothing of how replicas are reached: by ZeroMQ; others may be on TLS."""

    def change(document):
        del document["endpoints"]["m:1"]["scheme"]
        document["endpoints"]["m:2"]["scheme"] = "tls"

    found = decode(_changed(change)).by_version()
    assert (found["m", "1"].scheme, found["m", "2"].scheme) == ("tcp", "tls")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"{}", b'{"registry": 1}', b"\xff", b"[" * 9999]
)
def test_what_is_no_published_registry_is_refused(text):
    """The message says where the fault is."""
    with pytest.raises(PublishedError, match="not a published registry"):
        decode(text)


FAULTS = {
    "route": (
        lambda d: d["registry"].update(routes=[{"method": "POST", "path": "/b", "app": "b"}]),
        "registry.routes: POST /b: there is no application 'b'",
    ),
    "default": (
        lambda d: d["registry"].update(default_app="b"),
        "registry.default_app: there is no application 'b'",
    ),
    "reserved": (
        lambda d: d["registry"]["applications"][0].update(name="metrics"),
        "registry.applications: the application name 'metrics' is reserved",
    ),
    "current": (
        lambda d: d["registry"]["current"].update(m="3"),
        "registry.current: there is no version '3' of model 'm'",
    ),
    "application": (
        lambda d: d["registry"]["links"].update(b=["m"]),
        "registry.links: there is no application 'b'",
    ),
    "model": (
        lambda d: d["registry"]["links"].update(a=["n"]),
        "registry.links.a: model 'n' has no current version",
    ),
    "type": (
        lambda d: d["registry"]["applications"][0].update(input_type="strings"),
        "registry.links.a: the application takes strings, model 'm:1' takes doubles",
    ),
    "version": (
        lambda d: d["endpoints"].update({"m:3": {"host": "h"}}),
        "endpoints: there is no model version 'm:3'",
    ),
    "host": (
        lambda d: d["endpoints"]["m:1"].update(host=""),
        "endpoints.m:1.host: it is empty",
    ),
    "port": (
        lambda d: d["endpoints"]["m:1"].update(port=65536),
        "endpoints.m:1.port: 65536 is not a port (1 to 65535)",
    ),
}


@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=FAULTS)
def test_one_part_may_not_contradict_another(change, message):
    """The field and what is wrong with it are named."""
    with pytest.raises(PublishedError) as caught:
        decode(_changed(change))
    assert caught.value.message == message


def test_a_file_or_its_folder_may_be_named(tmp_path):
    """What is missing is named, with who writes it."""
    path = tmp_path / "registry.json"
    with pytest.raises(PublishedError, match=r"registry\.json: No such file") as caught:
        PublishedFile(path).read()
    assert "export-k8s" in caught.value.hint
    path.write_bytes(encode(PUBLISHED))
    assert PublishedFile(path).read() == PublishedFile(tmp_path).read() == PUBLISHED
    path.write_bytes(b"{")
    with pytest.raises(PublishedError, match=str(path)):
        PublishedFile(tmp_path).read()


def test_a_change_is_told_once(tmp_path):
    """As a ConfigMap's mount changes: the folder's links lead elsewhere; a touch is no change."""
    published = []
    for name, endpoints in (("one", PUBLISHED.endpoints), ("two", {})):
        (tmp_path / name).mkdir()
        published.append(msgspec.structs.replace(PUBLISHED, endpoints=endpoints))
        (tmp_path / name / "registry.json").write_bytes(encode(published[-1]))
    link = tmp_path / "registry"
    link.symlink_to("one")
    file = PublishedFile(link)
    assert file.read() == published[0]
    (tmp_path / "one" / "registry.json").touch()
    assert file.changed() is None
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").replace(link)
    assert file.changed() == published[1]
    assert file.changed() is None


def test_what_becomes_wrong_is_told_once(tmp_path):
    """And a good one after it is taken, also where it is the one of before."""
    path = tmp_path / "registry.json"
    path.write_bytes(encode(PUBLISHED))
    file = PublishedFile(path)
    file.read()
    for wrong in (b"{", b"[]"):
        path.write_bytes(wrong)
        with pytest.raises(PublishedError, match="it is not a published registry"):
            file.changed()
        assert file.changed() is None
    path.unlink()
    with pytest.raises(PublishedError, match="No such file"):
        file.changed()
    assert file.changed() is None
    path.write_bytes(encode(PUBLISHED))
    assert file.changed() == PUBLISHED
    assert file.changed() is None


def test_a_file_that_stays_is_not_read(tmp_path, monkeypatch):
    """It is looked at several times a second, and may be large."""
    path = tmp_path / "registry.json"
    path.write_bytes(encode(PUBLISHED))
    file = PublishedFile(path)
    file.read()
    assert file.changed() is None
    monkeypatch.setattr(PublishedFile, "read", None)
    assert file.changed() is None
