"""A query that a model fails on is found in the log by the id that its caller was given."""

import logging
import re
import struct

import pytest

from servd.http.query.failed_queries import ranges
from tests.scripted_replica import ScriptedReplica
from tests.serving import run, serving, until


def is_large(row):
    """Whether the model raises on a row."""
    return struct.unpack("<d", row)[0] > 10


@pytest.mark.parametrize("default", [None, "-1"], ids=["error", "default"])
def test_the_id_of_a_failed_query_is_in_the_log(caplog, default):
    """Once a second, with the application and its model; those that went well are not."""

    async def story():
        with ScriptedReplica(poison=is_large) as replica:
            async with serving() as served:
                dispatcher = served.deploy(default=default)
                await served.attach(replica, dispatcher)
                ids = []
                for number in (1.0, 11.0, 2.0, 12.0):
                    _, answer = await served.predict({"input": [number]})
                    ids.append(answer["query_id"])
                _, answer = await served.predict({"input_batch": [[3.0], [13.0]]})
                await until(lambda: "servd logs model" in caplog.text)
                served.server.failed.flush()
                told = re.findall(
                    r"app: no output for query ([\d, -]+): model:1 raised", caplog.text
                )
                assert ", ".join(told) == f"{ids[1]}, {ids[3]}, {ids[3] + 2}"

    with caplog.at_level(logging.WARNING):
        run(story())


def test_numbers_are_told_as_ranges():
    """A model that fails on everything must not fill the log."""
    assert ranges([5, 1, 4, 6, 9]) == "1, 4-6, 9"
    assert ranges(list(range(1000))) == "0-999"
