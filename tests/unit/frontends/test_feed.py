"""The messages between the daemon and its front-end processes."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servd.config import Config
from servd.datatypes import Application, InputType, ModelVersion, RegistryState, VersionId
from servd.frontends import feed
from servd.metrics.counts import Count, HistogramCount
from servd.registry.snapshot import pack_state, unpack_state, version_id

_NAMES = st.sampled_from(["a", "b-1", "ü", "x.y"])
_APPLICATIONS = st.builds(
    Application,
    name=_NAMES,
    input_type=st.sampled_from(InputType),
    slo_us=st.integers(1, 10**9),
    default_output=st.none() | st.text(st.characters(exclude_categories=("Cs",))),
)
_VERSIONS = st.builds(
    ModelVersion,
    model=_NAMES,
    version=_NAMES,
    input_type=st.sampled_from(InputType),
    labels=st.tuples(_NAMES),
    bundle=st.none() | _NAMES,
    created_s=st.floats(0, 1e10),
)


@given(
    st.lists(_APPLICATIONS, max_size=4),
    st.lists(_VERSIONS, max_size=4),
    st.dictionaries(_NAMES, _NAMES),
    st.dictionaries(_NAMES, st.lists(_NAMES, max_size=2).map(tuple)),
    st.one_of(st.none(), _NAMES.filter(bool)),
)
def test_a_snapshot_comes_out_as_it_went_in(applications, versions, current, links, default):
    """Any registry state survives the way over the feed, in one line."""
    state = RegistryState(
        applications={app.name: app for app in applications},
        versions={version.id: version for version in versions},
        current=current,
        links=links,
        default_app=default,
    )
    seats = [feed.ReplicaSeat(model="a", version="x.y", address="ipc:///s", row_items=3)]
    sent = feed.Snapshot(7, pack_state(state), prepared=versions, replicas=seats)
    line = feed.encode(sent)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    received = feed.decode_from_daemon(line)
    assert received == sent
    assert unpack_state(received.registry) == state


@pytest.mark.parametrize(
    "message",
    [
        feed.Hello(3),
        feed.Applied(9),
        feed.Drained("ipc:///s"),
        feed.Listening(),
        feed.Leaving(),
        feed.CountReport(
            frontend=1,
            applications={"a": Count(queries=2, latency=HistogramCount([(3, 2)], 7, 4))},
            oldest={"ipc:///s": 12},
            gauges=feed.Gauges(queued={"m:1": 4}, limits={"m:1": [3, 5]}),
        ),
    ],
)
def test_what_a_frontend_says_comes_out_as_it_went_in(message):
    """Each kind is told apart by its tag."""
    assert feed.decode_from_frontend(feed.encode(message)) == message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "truncated"),
        (b"{}\n", "missing required field `type`"),
        (b'{"type":"welcome"}\n', "Invalid value 'welcome'"),
        (b"nonsense", "malformed"),
    ],
)
def test_what_is_no_message_is_refused(line, words):
    """Neither end takes what the other cannot have said."""
    with pytest.raises(msgspec.MsgspecError, match=words):
        feed.decode_from_frontend(line)


def test_frontends_share_the_cache_and_know_the_token():
    """Each gets its part of the cache's bytes; the rest is as the daemon's."""
    config = Config(data_dir=Path("d"), frontends=4, cache_bytes=4096, token="t", bind="::1")
    settings = feed.settings_of(config)
    assert (settings.cache_bytes, settings.token, settings.bind) == (1024, "t", "::1")


def test_a_version_is_named_by_its_text():
    """The text of an identity leads back to it."""
    assert version_id(str(VersionId("m", "1.2"))) == VersionId("m", "1.2")
