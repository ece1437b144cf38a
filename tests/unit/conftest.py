"""Fails a unit test that starts a process, or opens a socket that has an address.

Such tests are those of tests/integration. A pair of sockets has no address, and ZeroMQ's inproc://
stays in the process. Code that catches the failure does not hide it.
"""

import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvloop
import zmq
from hypothesis import HealthCheck, settings

# Who runs these after each change wants to know soon; `make test`, as CI, tries all. That examples
# are slow to make says that others work on the machine, and no more.
settings.register_profile("all", suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("few", settings.get_profile("all"), max_examples=25)
settings.load_profile("all" if os.environ.get("TEST_EXAMPLES") == "all" else "few")

EVENTS = {
    *("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"),
    *("socket.bind", "socket.connect", "socket.sendto"),
}
"""What Python tells its audit hooks of."""
CALLS: dict[type, tuple[str, ...]] = {
    zmq.Socket: ("bind", "connect"),
    uvloop.Loop: (
        *("create_server", "create_connection", "create_datagram_endpoint", "sock_connect"),
        *("create_unix_server", "create_unix_connection", "subprocess_exec", "subprocess_shell"),
    ),
}
"""What is done by libraries of C, of which Python does not know."""


class Guard:
    """Refuses while it is on, and remembers what it refused."""

    def __init__(self) -> None:
        self.is_on = False
        self.refused: list[str] = []

    def refuse(self, what: str) -> None:
        """Called before a process is started or a socket opened."""
        if self.is_on:
            self.refused.append(what)
            self.fail()

    def fail(self) -> None:
        """Fail the test that runs."""
        what = ", ".join(dict.fromkeys(self.refused))
        pytest.fail(f"a unit test needs no process and no socket ({what}): see tests/integration")

    @contextmanager
    def on(self) -> Iterator[None]:
        """Refuse meanwhile; fail at the end where a refusal was caught."""
        self.refused.clear()
        self.is_on = True
        try:
            yield
        finally:
            self.is_on = False
        if self.refused:
            self.fail()


def _refusing(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    def asked(self: Any, *args: Any, **more: Any) -> Any:
        if not str(args[:1]).startswith("('inproc:"):
            GUARD.refuse(name)
        return call(self, *args, **more)

    return asked


GUARD = Guard()
sys.addaudithook(lambda event, _args: GUARD.refuse(event) if event in EVENTS else None)
for _kind, _names in CALLS.items():
    for _name in _names:
        setattr(_kind, _name, _refusing(getattr(_kind, _name), f"{_kind.__name__}.{_name}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    """Look at what the fixtures do."""
    with GUARD.on():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """Look at what the test does."""
    with GUARD.on():
        return (yield)
