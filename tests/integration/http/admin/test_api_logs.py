"""The logs of `/api/v1`."""

import pytest

from servd.datatypes import VersionId

API = "/api/v1"


def _write_logs(parts):
    path = parts.supervisor.log_path(VersionId("m", "1"), 0)
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"line {n}\n" for n in range(50_000)))
    return path


def test_logs_are_read_from_their_end(scenario, tmp_path):
    """The last lines are answered; of several replicas each line names its own."""

    async def steps(parts):
        path = _write_logs(parts)
        assert await parts.call("GET", f"{API}/logs/m?lines=2") == (
            200,
            "line 49998\nline 49999\n",
        )
        assert (await parts.call("GET", f"{API}/logs/m?lines=0"))[1] == ""
        assert len((await parts.call("GET", f"{API}/logs/m"))[1].splitlines()) == 100
        path.with_name("1.1.log").write_text("half a line")
        path.with_name("1.0.0.log").write_text("of another version\n")
        _, text = await parts.call("GET", f"{API}/logs/m?version=1&lines=1")
        assert text == "m:1/0 | line 49999\nm:1/1 | half a line\n"
        _, text = await parts.call("GET", f"{API}/logs/m?version=1&lines=1&replica=1")
        assert text == "half a line\n"
        assert (await parts.call("GET", f"{API}/logs/daemon")) == (200, "")
        status, answer = await parts.call("GET", f"{API}/logs/m?version=1&replica=7")
        assert status == 404
        assert "m:1 has no log of a replica 7" in str(answer)

    scenario(tmp_path, steps)


@pytest.mark.parametrize(
    "query", ["m?lines=x", "m?lines=-1", "m?replica=x", "m?version=..", "..%2F..", "%2E%2E"]
)
def test_bad_log_queries_are_refused(scenario, tmp_path, query):
    """Numbers that are none, and names that would leave the folder, are refused."""

    async def steps(parts):
        _write_logs(parts)
        assert (await parts.call("GET", f"{API}/logs/{query}"))[0] in {400, 404}

    scenario(tmp_path, steps)


def test_logs_are_followed(scenario, tmp_path, monkeypatch):
    """New lines come as they are written, through a rotation and from a new replica."""
    monkeypatch.setattr("servd.http.admin.api_logs._POLL_S", 0.01)

    async def steps(parts):
        path = _write_logs(parts)
        url = f"{parts.base}{API}/logs/m?lines=1&follow=true"
        async with parts.client.get(url) as answer:
            read = answer.content.readline
            assert await read() == b"line 49999\n"
            with path.open("a") as file:
                file.write("new\n")
            assert await read() == b"new\n"
            path.write_text("rotated\n")
            assert await read() == b"rotated\n"
            path.with_name("1.1.log").write_text("joined\n")
            assert await read() == b"m:1/1 | joined\n"
            path.unlink()
            answer.close()

    scenario(tmp_path, steps)
