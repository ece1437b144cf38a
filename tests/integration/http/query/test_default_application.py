"""Paths without an application's name: they answer for the default one, or the only one."""

import msgspec

from tests.scripted_replica import ScriptedReplica
from tests.serving import post, run, serving


def choose(served, name):
    """Make an application the default one."""
    served.state = msgspec.structs.replace(served.state, default_app=name)
    served.engine.apply(served.state)


def remove(served, name):
    """Take an application away."""
    left = {key: app for key, app in served.state.applications.items() if key != name}
    links = {key: linked for key, linked in served.state.links.items() if key != name}
    served.state = msgspec.structs.replace(served.state, applications=left, links=links)
    served.engine.apply(served.state)


async def ask(client, path="/predict"):
    """Send the same head and body again; return the status and the output, or the error."""
    client.send(post(path, {"input": [1, 2]}))
    answer = await client.answer()
    return answer.status, answer.json.get("output", answer.json.get("cause"))


WHY = "This path names no application, and there is no default one"
NO_DEFAULT = (404, f"{WHY}: servd app default NAME    chooses it")


def test_they_answer_for_the_only_application_and_for_the_one_that_is_chosen():
    """Also on a connection that has asked before, whose heads are known to the byte."""

    async def main():
        async with serving() as served:
            client = await served.client()
            assert await ask(client) == NO_DEFAULT
            served.deploy("one", model=None, default="1")
            for path in ("/predict", "/predict/", "//predict", "/%70redict"):
                for _ in range(3):
                    assert await ask(client, path) == (200, 1)
            served.deploy("two", model=None, default="2")
            assert await ask(client) == NO_DEFAULT
            for name, output in (("two", 2), ("one", 1), ("two", 2)):
                choose(served, name)
                for _ in range(3):
                    assert await ask(client) == (200, output)
            choose(served, None)
            assert await ask(client) == NO_DEFAULT
            choose(served, "two")
            assert await ask(client) == (200, 2)
            remove(served, "two")
            choose(served, None)
            assert await ask(client) == (200, 1)

    run(main())


def test_long_bodies_go_where_short_ones_go():
    """Their heads are kept apart; a change of the default application reaches these too."""

    async def main():
        body = {"input": [1.5] * 60_000}
        async with serving() as served:
            served.deploy("one", model=None, default="1")
            client = await served.client()
            for names in (("one",), ("one", "two")):
                for name in names:
                    served.deploy(name, model=None, default=f'"{name}"')
                    choose(served, name)
                    for _ in range(3):
                        client.send(post("/predict", body))
                        assert (await client.answer()).json["output"] == name

    run(main())


def test_what_an_application_is_called_stays_its_own():
    """An application that came before, or whose name another format has, keeps what is below it."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                await served.attach(replica, served.deploy("one"))
                update = post("/update", {"uid": 1, "input": [1], "label": 1})
                assert (await served.send(update)).body == b"Feedback received? 1"
                served.deploy("update")
                choose(served, "one")
                assert (await served.send(update)).status == 405
                page = b"GET /update HTTP/1.1\r\nHost: h\r\n\r\n"
                assert (await served.send(page)).headers["content-type"].startswith("text/html")
                assert (await served.predict({"input": [1]}, "update"))[0] == 200

    run(main())


def test_other_methods_are_told_which_ones_there_are():
    """As at the path with the name."""

    async def main():
        async with serving() as served:
            served.deploy("one", model=None)
            answer = await served.send(
                b"PUT /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
            )
            assert (answer.status, "POST" in answer.headers["allow"]) == (405, True)

    run(main())
