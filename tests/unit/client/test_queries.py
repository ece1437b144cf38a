"""A query without a connection: what is sent, what an answer means, what is sent again."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest

from servd.client.exchange import Answer, LostError, Reading, Request
from servd.client.failures import (
    BatchFailedError,
    InvalidInputError,
    ModelFailedError,
    OverloadedError,
    PredictionLateError,
    QueryError,
    ThrottledError,
    UnavailableError,
)
from servd.client.items import Items
from servd.client.queries import Queries, Send, Wait, plain
from servd.errors import InvalidValueError

FULL = {"error": "Query processing error", "cause": "Too many queries are waiting for this model"}


def drive(steps, *came):
    """Give a query what comes of its requests; return what it came to, and its steps."""
    taken, outcomes = [], iter(came)
    try:
        step = next(steps)
        while True:
            taken.append(step)
            outcome = None if isinstance(step, Wait) else next(outcomes)
            is_error = isinstance(outcome, Exception)
            step = steps.throw(outcome) if is_error else steps.send(outcome)
    except StopIteration as end:
        return end.value, taken


def answer(status, content, **headers):
    """Return an answer with a JSON body."""
    return Answer(status, headers, json.dumps(content).encode())


GOOD = answer(200, {"query_id": 7, "output": [1], "default": False}, cache="hit")


def test_a_good_answer_is_a_prediction():
    """With its id, and whether it was known."""
    found, [sent] = drive(Queries().predict("a b", [1.0, 2.0], "2"), GOOD)
    assert (found.output, found.query_id, found.is_cached, found.is_default) == (
        [1],
        7,
        True,
        False,
    )
    assert sent.request.target == "/a%20b/predict"
    assert json.loads(sent.request.body) == {"input": [1.0, 2.0], "version": "2"}


@pytest.mark.parametrize("content", [{"detail": "hello"}, [1.0], "hello"])
def test_what_is_no_prediction_is_not_one(content):
    """A web application may answer at the same path, with JSON of its own and 200."""
    for steps in (Queries().predict("a", [1.0], None), Queries().predict_batch("a", [[1.0]], None)):
        with pytest.raises(QueryError, match="what was answered is no prediction"):
            drive(steps, answer(200, content))


def test_a_default_output_is_said_with_the_reason():
    """It is a prediction all the same."""
    told = {"query_id": 0, "output": -1, "default": True, "default_explanation": "late"}
    found, _ = drive(Queries().predict("a", 1, None), answer(200, told))
    assert (found.output, found.is_default, found.explanation) == (-1, True, "late")


@pytest.mark.parametrize("error", [{"is_sent": False}, {"is_sent": True}], ids=str)
def test_what_was_lost_before_an_answer_began_is_sent_again(error):
    """Twice at most, waiting longer each time."""
    lost = LostError("gone", **error)
    found, steps = drive(Queries().predict("a", 1, None), lost, lost, GOOD)
    assert found.output == [1]
    assert [each.seconds for each in steps if isinstance(each, Wait)] == [0.05, 0.1]
    assert len({each.request for each in steps if isinstance(each, Send)}) == 1
    with pytest.raises(LostError, match="gone"):
        drive(Queries().predict("a", 1, None), lost, lost, lost)
    with pytest.raises(LostError, match="gone"):
        drive(Queries(retries=0).predict("a", 1, None), lost)


def test_what_was_answered_in_part_is_not_sent_again():
    """Its model has computed."""
    with pytest.raises(LostError, match="cut"):
        drive(Queries().predict("a", 1, None), LostError("cut", is_sent=True, is_begun=True))


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (400, {"error": "Json error", "cause": "x"}, InvalidInputError),
        (422, {"error": "Invalid input", "detail": [{"loc": ["a"]}]}, InvalidInputError),
        (500, {"error": "Query processing error", "query_id": 5}, ModelFailedError),
        (
            503,
            {"error": "Query processing error", "cause": "No connected models"},
            UnavailableError,
        ),
        (503, FULL, OverloadedError),
        (504, {"error": "Query processing error"}, PredictionLateError),
        (418, {"error": "Odd"}, QueryError),
        (502, "no object", QueryError),
    ],
)
def test_an_error_has_its_class_and_is_not_sent_again(status, content, kind):
    """With the status, the detail and the id of the answer."""
    with pytest.raises(QueryError) as told:
        drive(Queries().predict("a", 1, None), answer(status, content, **{"retry-after": "1"}))
    assert type(told.value) is kind
    assert told.value.status == status
    assert told.value.retry_after_s == 1.0
    if isinstance(content, dict):
        assert told.value.query_id == content.get("query_id")
        assert told.value.detail == content.get("detail", [])


def test_who_is_refused_sends_less_and_others_do_not():
    """Only what there is no room for counts; each application by itself."""
    queries = Queries()
    for _ in range(200):
        with pytest.raises((OverloadedError, ThrottledError), match=r"many queries|not sent"):
            drive(queries.predict("full", 1, None), answer(503, FULL))
    refused = 0
    for _ in range(100):
        try:
            drive(queries.predict("full", 1, None), answer(503, FULL))
        except ThrottledError:
            refused += 1
        except OverloadedError:
            continue
    assert refused > 50
    for _ in range(50):
        with pytest.raises(UnavailableError, match="No model"):
            drive(
                queries.predict("gone", 1, None), answer(503, {"error": "x", "cause": "No model"})
            )
    drive(queries.predict("other", 1, None), GOOD)


def test_a_batch_has_the_predictions_of_the_good_beside_the_errors_of_the_others():
    """Raised, as who only reads outputs would not notice."""
    parts = [
        {"query_id": 0, "output": 1, "default": False},
        {"error": "Invalid input", "cause": "a", "query_id": 1},
        {"error": "Query processing error", "cause": "raised", "query_id": 2},
    ]
    with pytest.raises(BatchFailedError, match=r"2 of 3 inputs .* input 1: Invalid input") as told:
        drive(
            Queries().predict_batch("a", [1, 2, 3], None), answer(200, {"batch_predictions": parts})
        )
    good, invalid, failed = told.value.results
    assert good.output == 1
    assert (type(invalid), invalid.status, invalid.query_id) == (InvalidInputError, 422, 1)
    assert type(failed) is ModelFailedError
    assert drive(Queries().predict_batch("a", [], None)) == ([], [])
    with pytest.raises(InvalidValueError, match="a list of inputs"):
        drive(Queries().predict_batch("a", 5, None))


def test_values_are_sent_as_json_has_them():
    """Arrays, tables, dates and bytes; what JSON cannot say is refused by name."""
    assert plain(np.arange(3)) == [0, 1, 2]
    assert plain({"a": np.float64(1.5), 2: (b"hello", None)}) == {"a": 1.5, "2": ["aGVsbG8=", None]}
    assert plain(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})) == {"a": [1, 2], "b": ["x", "y"]}
    assert plain(dt.date(2024, 1, 31)) == "2024-01-31"
    for value in (float("nan"), object()):
        with pytest.raises(InvalidValueError, match="cannot be sent as JSON"):
            drive(Queries().predict("a", value, None))


def test_a_stream_is_read_however_it_is_cut():
    """Byte by byte; texts are texts, comments are nothing."""
    text = b'data: "a"\n\n:\n\ndata: {"b": 1}\n\nevent: end\ndata: {"items":2}\n\n'
    queries = Queries()
    for size in (1, 7, len(text)):
        items = Items(
            "a", Answer(200, {"content-type": "text/event-stream"}), queries, queries.admit("a")
        )
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert [item for piece in pieces for item in items.feed(piece)] == ["a", {"b": 1}]
        assert items.finish() == []


def test_a_stream_that_breaks_off_is_an_error():
    """With the error that it tells, or that it was cut."""
    head = Answer(200, {"content-type": "text/event-stream"})
    queries = Queries()
    items = Items("a", head, queries, queries.admit("a"))
    with pytest.raises(ModelFailedError, match="raised"):
        items.feed(b'event: error\ndata: {"error": "x", "cause": "raised"}\n\n')
    items = Items("a", head, queries, queries.admit("a"))
    assert items.feed(b"data: 1\n\n") == [1]
    with pytest.raises(LostError, match="cut off"):
        items.finish()


def test_an_answer_is_read_however_it_is_cut():
    """With a length, or in chunks; what comes before it (1xx) is none of it."""
    whole = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/plain; x=y\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    for size in (1, 5, len(whole)):
        reading, body = Reading(), b""
        for at in range(0, len(whole), size):
            reading.feed(whole[at : at + size])
            body += reading.take()
        assert (reading.is_whole, reading.is_kept, body) == (True, True, b"abcde")
        assert (reading.answer.status, reading.answer.kind) == (200, "text/plain")
    with pytest.raises(LostError, match="closed") as told:
        Reading().feed(b"")
    assert not told.value.is_begun
    with pytest.raises(LostError, match="no HTTP"):
        Reading().feed(b"SSH-2.0-x\r\n\r\n")


def test_a_request_is_written_with_what_it_needs():
    """The token, the length; nothing of a body where there is none."""
    text = Request("POST", "/a", b"{}", headers=(("Accept", "x"),)).encoded("h:1", "secret")
    assert text.startswith(b"POST /a HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer secret\r\n")
    assert text.endswith(b"Content-Length: 2\r\n\r\n{}")
    assert b"Content" not in Request("GET", "/").encoded("h", None)
    assert b"Content-Length: 0" in Request("POST", "/", b"").encoded("h", None)
