"""Queries that are shed while the event loop is behind: refused before their input is read."""

import pytest

from servd.engine.query import Miss
from tests.scripted_replica import ScriptedReplica
from tests.serving import run, serving

BEHIND_S = 1000.0


@pytest.mark.parametrize("default", ["-1", None])
def test_while_the_loop_is_behind_a_query_is_shed(default):
    """It gets the default, or a 503; the tick after one that is short gives outputs again."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                dispatcher = served.deploy(default=default)
                await served.attach(replica, dispatcher)
                dispatcher.turn.lag_s = BEHIND_S
                refused = await served.post("/app/predict", {"input": [1]})
                if default is None:
                    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
                    assert refused.json["cause"] == Miss.OVERLOADED.value
                else:
                    assert refused.json["default_explanation"] == Miss.OVERLOADED.value
                status, answer = await served.predict({"input": [1]})
                assert (status, answer["output"], answer["query_id"]) == (200, 1.0, 1)
                served.engine.fold()
                counters = served.engine.by_name["app"].counters
                assert (counters.queries, counters.refused, counters.defaults) == (2, 1, 1)

    run(main())


def test_what_has_another_form_of_answer_is_not_shed():
    """A batch, or what may be one, is read; and a known answer costs no more than a refusal."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                dispatcher = served.deploy()
                await served.attach(replica, dispatcher)
                for _ in range(2):
                    await served.predict(b'{"input":[5]}')
                for body, wanted in (
                    ({"input_batch": [[1], [2]]}, [1.0, 2.0]),
                    ({"version": "1", "input": [3]}, [3.0]),
                    (b'{"input":[5]}', [5.0]),
                ):
                    dispatcher.turn.lag_s = BEHIND_S
                    status, answer = await served.predict(body)
                    assert status == 200
                    answers = answer.get("batch_predictions", [answer])
                    assert [each["output"] for each in answers] == wanted

    run(main())
