"""The link to a replica, whoever holds it: in and out of rotation once, silence, complaints."""

from types import SimpleNamespace

import pytest

from servd.datatypes import GONE, OTHER, SILENT
from servd.replicas.link import SILENT_S, Link


class Routes:
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def attach(self, _connection):
        """Note it."""
        self.told.append("attach")

    def detach(self, _connection, end):
        """Note it, with how the replica ended."""
        self.told.append(end)

    def drain(self, _connection):
        """Note it."""
        self.told.append("drain")


@pytest.fixture
def link():
    """Return an open link to a replica that was last heard at 100 s."""
    made = Link(Routes(), "replica")
    done = []
    made.open(
        SimpleNamespace(
            done=done,
            last_heard_s=100.0,
            open=lambda: done.append("open"),
            close=lambda: done.append("close"),
            heartbeat=lambda: done.append("beat"),
        )
    )
    return made


def test_it_comes_in_once_and_leaves_once(link):
    """The second one to say it changes nothing; what never came in does not leave."""
    link.detach(GONE)
    link.pause()
    assert link.routes.told == []
    for _ in range(2):
        link.attach()
    for _ in range(2):
        link.detach(OTHER)
    assert link.routes.told == ["attach", OTHER]
    link.attach()
    link.close()
    assert link.routes.told[2:] == ["attach", GONE]
    assert link.connection.done == ["open", "close"]


def test_silence_takes_it_out_until_it_is_heard(link, caplog):
    """Each tick asks for a sign of life; the silence is told once, with its length."""
    link.tick(99.9 + SILENT_S)
    assert link.routes.told == ["attach"]
    for _ in range(2):
        link.tick(100.1 + SILENT_S)
    assert link.routes.told == ["attach", SILENT]
    link.connection.last_heard_s += 1
    link.tick(100.1 + SILENT_S)
    assert link.routes.told == ["attach", SILENT, "attach"]
    assert link.connection.done == ["open"] + 4 * ["beat"]
    assert caplog.messages == ["replica is silent for 1.5 s: out of rotation"]


def test_one_that_ends_does_not_come_back(link):
    """What is in flight there is answered; a sign of life is not one of readiness."""
    link.tick(100.0)
    link.drain()
    link.tick(101.0 + SILENT_S)
    link.connection.last_heard_s += 5
    link.tick(100.0)
    assert link.routes.told == ["attach", "drain", SILENT]


def test_a_complaint_is_told_again_once_it_was_in_rotation(link, caplog):
    """Not each time that it says the same of itself."""
    for _ in range(2):
        link.complain("is of another model")
    link.attach()
    link.complain("is of another model")
    assert caplog.messages == 2 * ["replica is of another model: it gets no queries"]
