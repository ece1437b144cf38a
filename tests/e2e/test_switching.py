"""Deployments, rollbacks and scaling under load: no query fails, none meets a wrong version."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.e2e.steps import MODELS, admin, deploy, ready, replicas, running_daemon, until
from tests.load import Load, Outcome

RATE = 200


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield one daemon for all tests here, each of which uses a name of its own."""
    with running_daemon() as running:
        yield running


def _versions(daemon: Daemon, name: str, *allowed: int) -> Load:
    return Load(
        daemon.query_port,
        f"/{name}/predict",
        lambda number: [number],
        lambda _number, output: output in allowed,
        rate=RATE,
    )


def _deploy(daemon: Daemon, name: str, *args: str) -> None:
    deploy(daemon, "version_of.py", "--name", name, "--slo", "2s", *args)


def _outputs(outcomes: list[Outcome]) -> set[Any]:
    return {outcome.answer["output"] for outcome in outcomes}


def _mark(load: Load, more: int = RATE // 4) -> int:
    """Wait for some more answers; return the number of the first query that left after the call."""
    first = max((outcome.number for outcome in load.outcomes), default=0) + RATE // 20
    load.wait_for(more)
    return first


def _between(load: Load, first: int, last: int | None = None) -> list[Outcome]:
    return [o for o in load.outcomes if o.number >= first and (last is None or o.number < last)]


def test_deploy_and_rollback_lose_no_query(daemon: Daemon) -> None:
    """Each answer under load is of version 1 or 2, and of the new one alone once it is live."""
    _deploy(daemon, "switched")
    with _versions(daemon, "switched", 1, 2) as load:
        load.wait_for(RATE // 4)
        _deploy(daemon, "switched", "--version", "2")
        with_two = _mark(load)
        assert daemon.cli("rollback", "switched").returncode == 0
        with_one = _mark(load)
        assert daemon.cli("rollback", "switched", "2").returncode == 0
        with_two_again = _mark(load)
    assert load.not_right() == []
    assert load.outcomes[0].answer["output"] == 1
    assert _outputs(_between(load, with_two, with_two + RATE // 8)) == {2}
    assert _outputs(_between(load, with_one, with_one + RATE // 8)) == {1}
    assert _outputs(_between(load, with_two_again)) == {2}


def test_scaling_up_and_down_loses_no_query(daemon: Daemon) -> None:
    """Each answer is right while a version goes from one replica to three and back to one."""
    _deploy(daemon, "scaled")
    with _versions(daemon, "scaled", 1) as load:
        load.wait_for(RATE // 4)
        assert daemon.cli("scale", "scaled", "3").returncode == 0
        assert len(ready(daemon, "scaled")) == 3
        load.wait_for(RATE // 4)
        assert daemon.cli("scale", "scaled", "1").returncode == 0
        assert len(replicas(daemon, "scaled")) == 1
        load.wait_for(RATE // 4)
    assert load.not_right() == []


def test_failed_deploy_under_load_changes_nothing(daemon: Daemon) -> None:
    """A new version that cannot be loaded leaves the old one serving every query."""
    _deploy(daemon, "kept")
    with _versions(daemon, "kept", 1) as load:
        load.wait_for(RATE // 8)
        refused = daemon.cli("deploy", str(MODELS / "raises_on_load.py"), "--name", "kept")
        assert refused.returncode == 1
        load.wait_for(RATE // 8)
    assert load.not_right() == []
    status, model = admin(daemon, "GET", "/api/v1/models/kept")
    assert status == 200
    assert [version["version"] for version in model["versions"]] == ["1"]


def test_queries_can_name_either_version_while_both_run(daemon: Daemon) -> None:
    """A rollback keeps the other version's replicas, so that both can be asked for by name."""
    _deploy(daemon, "both")
    _deploy(daemon, "both", "--version", "2")
    assert daemon.cli("rollback", "both").returncode == 0
    for version in (1, 2):
        status, answer = daemon.query("/both/predict", {"input": [9], "version": str(version)})
        assert (status, answer["output"], answer["default"]) == (200, version, False)
    until(lambda: len(ready(daemon, "both")) == 2, "a replica of each version")
