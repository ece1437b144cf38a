"""Services and bentos of BentoML 1.x; docs/bentoml.md. There only where that is installed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.e2e.steps import running_daemon

SERVICE = """
from __future__ import annotations

import typing as t

import bentoml
from pydantic import Field


@bentoml.service(name="summer", resources={"cpu": "1"})
class Summer:
    def __init__(self):
        self.factor = 2

    @bentoml.on_startup
    def warm(self):
        self.warmed = True

    @bentoml.api
    def scale(self, text: str, times: int = Field(2, ge=1)) -> str:
        assert self.warmed
        return text * times * self.factor

    @bentoml.api(batchable=True)
    def lengths(self, texts: t.List[str]) -> t.List[int]:
        return [len(each) for each in texts]

    @bentoml.api
    async def total(self, numbers: t.List[float], ctx: bentoml.Context) -> float:
        assert ctx is not None
        return sum(numbers)

    @bentoml.api
    def words(self, text: str) -> t.Generator[str, None, None]:
        yield from text.split()
"""
ASKED = {
    "summer-scale": ({"text": "ab", "times": 1}, "abab"),
    "summer-lengths": ("four", 4),
    "summer-total": ([1.5, 2.0], 3.5),
    "summer-words": ("a b", ["a", "b"]),
}


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield one daemon for all tests here."""
    with running_daemon() as running:
        yield running


@pytest.fixture
def service(tmp_path) -> Path:
    """Return the file of a service."""
    path = tmp_path / "service.py"
    path.write_text(SERVICE)
    return path


def check(daemon: Daemon) -> None:
    """Ask each API, each in its own input type."""
    for app, (value, output) in ASKED.items():
        status, answer = daemon.query(f"/{app}/predict", {"input": value})
        assert (status, answer.get("output")) == (200, output), (app, answer)
    _, answer = daemon.query("/summer-scale/predict", {"input": {"text": "a", "times": 0}})
    assert answer["error"] == "Invalid input"


def test_each_api_of_a_service_is_a_model(daemon, service):
    """`service.py:Summer`, and `service.py` alone, as it defines one."""
    for target in (f"{service}:Summer", str(service)):
        done = daemon.cli("deploy", target, "--slo", "10s")
        assert done.returncode == 0, done.stderr
        check(daemon)


def test_one_api_of_a_service(daemon, service):
    """`service.py:Summer:scale`; one that is not there is told with its neighbour."""
    done = daemon.cli("deploy", f"{service}:Summer:scale", "--name", "one", "--slo", "10s")
    assert done.returncode == 0, done.stderr
    assert daemon.query("/one/predict", {"input": {"text": "a"}})[1]["output"] == "aaaa"
    done = daemon.cli("deploy", f"{service}:Summer:scal")
    assert done.returncode == 1
    assert "Summer has no API 'scal'" in done.stderr
    assert "did you mean scale?" in done.stderr


def test_each_api_of_a_bento_is_a_model(daemon, service, tmp_path):
    """A folder that `bentoml build` has made."""
    (tmp_path / "bentofile.yaml").write_text('service: "service:Summer"\ninclude: ["service.py"]\n')
    home = tmp_path / "home"
    environ = os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    subprocess.run(
        [sys.executable, "-m", "bentoml", "build"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        timeout=120,
        check=True,
    )
    [bento] = (path.parent for path in home.glob("bentos/summer/*/bento.yaml"))
    service.unlink()
    done = daemon.cli("deploy", str(bento), "--slo", "10s")
    assert done.returncode == 0, done.stderr
    check(daemon)
    shutil.rmtree(bento / "src")
    done = daemon.cli("deploy", f"{bento}:scale")
    assert "the file of the service service:Summer" in done.stderr
