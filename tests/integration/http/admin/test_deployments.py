"""Deployments by `/api/v1`."""

import asyncio
import json

from servd.datatypes import VersionId
from servd.errors import LoadFailedError

API = "/api/v1"
DEPLOY = {"model": "m", "bundle": "0" * 32, "app": "a"}


async def _events(answer):
    return [json.loads(line) async for line in answer.content if line.strip()]


def test_a_deployment_streams_its_events(scenario, tmp_path, monkeypatch):
    """Events come one a line as they happen, with signs of life between, the last is live."""
    monkeypatch.setattr("servd.http.admin.api._SIGN_OF_LIFE_S", 0.01)

    async def steps(parts):
        parts.deployer.gate.clear()
        async with parts.client.post(f"{parts.base}{API}/deployments", json=DEPLOY) as answer:
            assert answer.content_type == "application/x-ndjson"
            first = json.loads(await answer.content.readline())
            assert first == {"event": "starting", "model": "m", "version": "1"}
            assert await answer.content.readline() == b"\n"
            parts.deployer.gate.set()
            assert [event["event"] for event in await _events(answer)] == ["live"]

    scenario(tmp_path, steps)


def test_a_failed_deployment_ends_with_the_error(scenario, tmp_path):
    """A load failure is the last line, with the model's traceback and a hint."""

    async def steps(parts):
        parts.deployer.failure = LoadFailedError("no", hint="do", traceback="Traceback…")
        async with parts.client.post(f"{parts.base}{API}/deployments", json=DEPLOY) as answer:
            last = (await _events(answer))[-1]
        assert (last["event"], last["model"], last["version"]) == ("error", "m", "1")
        assert last["error"] == {
            "code": "load_failed",
            "status": 422,
            "message": "no",
            "hint": "do",
            "traceback": "Traceback…",
        }
        parts.deployer.failure = RuntimeError("a secret")
        async with parts.client.post(f"{parts.base}{API}/deployments", json=DEPLOY) as answer:
            last = (await _events(answer))[-1]
        assert last["error"]["code"] == "internal"
        assert "secret" not in str(last)
        assert parts.registry.state.versions == {}

    scenario(tmp_path, steps)


def test_a_deployment_that_never_begins_is_an_error_answer(scenario, tmp_path):
    """What is refused before the first event has an error status."""

    async def steps(parts):
        found = await parts.call("POST", f"{API}/deployments", {**DEPLOY, "model": "-m"})
        assert (found[0], found[1]["error"]["code"]) == (400, "invalid_name")

    scenario(tmp_path, steps)


def test_a_deployment_goes_on_without_its_client(scenario, tmp_path):
    """A client that hangs up in the middle, or does not wait, stops nothing."""

    async def steps(parts):
        parts.deployer.gate.clear()
        async with parts.client.post(f"{parts.base}{API}/deployments", json=DEPLOY) as answer:
            await answer.content.readline()
            answer.close()
        other = {**DEPLOY, "model": "n", "app": None}
        found = await parts.call("POST", f"{API}/deployments?wait=false", other)
        assert found == (202, {"model": "n", "version": "1"})
        parts.deployer.gate.set()
        async with asyncio.timeout(5):
            while len(parts.registry.state.versions) < 2:  # noqa: ASYNC110 - nothing to wait on
                await asyncio.sleep(0.01)
        assert VersionId("m", "1") in parts.registry.state.versions

    scenario(tmp_path, steps)


def test_closing_the_server_ends_deployments_and_followers(scenario, tmp_path):
    """With a deployment and a log follower in progress the server still ends at once."""

    async def steps(parts):
        parts.config.logs_dir.mkdir()
        (parts.config.logs_dir / "daemon.log").write_text("one\n")
        parts.deployer.gate.clear()
        post = parts.client.post(f"{parts.base}{API}/deployments", json=DEPLOY)
        get = parts.client.get(f"{parts.base}{API}/logs/daemon?follow=true")
        async with post as deployment, get as logs:
            await deployment.content.readline()
            assert await logs.content.readline() == b"one\n"
            await parts.server.__aexit__()
            last = (await _events(deployment))[-1]
            assert last["error"]["message"] == "the daemon is stopping; nothing was deployed"
            assert await logs.content.read() == b""

    scenario(tmp_path, steps)
