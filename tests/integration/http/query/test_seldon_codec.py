"""Seldon's messages to and from applications that know nothing of them."""

import json
import struct

import pytest

from model_runtime.signature import Signature
from servd.datatypes import InputType
from tests.scripted_replica import ScriptedReplica
from tests.serving import post, run, serving

PATH = "/seldon/ns/app/api/v1.0/predictions"


def asked(message, *, input_type="doubles", path="/api/v1.0/predictions", default=None, **replica):
    """Return the status and the answer of an application to one message."""
    found = []

    async def main():
        with ScriptedReplica(**replica) as replica_:
            async with serving() as served:
                kind = InputType(input_type)
                await served.attach(replica_, served.deploy(default=default, input_type=kind))
                # The second time the head is known, and the answer may be.
                found.extend([(await served.post(path, message)).pair for _ in range(2)])

    run(main())
    assert found[0] == found[1]
    return found[0]


def shape(shape, values):
    """Return a message with a tensor."""
    return {"data": {"tensor": {"shape": shape, "values": values}}}


def array(rows, **more):
    """Return a message with an array."""
    return {"data": {"ndarray": rows, **more}}


def back(row):
    """Return the numbers of a row as they came."""
    return json.dumps([*struct.unpack(f"<{len(row) // 8}d", row)]).encode()


@pytest.mark.parametrize(
    ("message", "answer", "payload"),
    [
        (shape([2, 2], [0, 0, 1, 1]), None, {"names": [], **shape([2], [0, 2.0])["data"]}),
        (array([[0, 0], [1, 1]]), None, {"names": [], "ndarray": [0.0, 2.0]}),
        (array([[1], [1, 2]]), None, {"names": [], "ndarray": [1.0, 3.0]}),
        (shape([3], [1, 2, 3]), None, {"names": [], **shape([1], [6.0])["data"]}),
        (shape([1, 2, 2], [1, 2, 3, 4]), None, {"names": [], **shape([1], [10.0])["data"]}),
        (
            shape([2, 2], [1, 2, 3, 4]),
            back,
            {"names": ["t:0", "t:1"], **shape([2, 2], [1.0, 2.0, 3.0, 4.0])["data"]},
        ),
        (array([[1, 2]]), back, {"names": ["t:0", "t:1"], "ndarray": [[1.0, 2.0]]}),
        (shape([2], [1, 2]), back, {"names": [], **shape([2], [1.0, 2.0])["data"]}),
        (array([1, 2]), back, {"names": [], "ndarray": [1.0, 2.0]}),
        (array([[1], [1, 2]]), back, {"names": [], "ndarray": [[1.0], [1.0, 2.0]]}),
        (
            shape([2, 1], [1, 2]),
            lambda _row: b'{"no":0.25,"yes":0.75}',
            {"names": ["no", "yes"], **shape([2, 2], [0.25, 0.75, 0.25, 0.75])["data"]},
        ),
        (shape([1, 1], [1]), lambda _row: b'"text"', {"names": [], "ndarray": ["text"]}),
        (
            shape([1, 1], [1]),
            lambda _row: b"[[1,2],[3,4]]",
            {"names": ["t:0", "t:1"], **shape([1, 2, 2], [1, 2, 3, 4])["data"]},
        ),
        (shape([1, 1], [1]), lambda _row: b"null", {"names": [], "ndarray": [None]}),
    ],
)
def test_numbers_are_answered_in_the_form_that_they_came_in(message, answer, payload):
    """By rows; one that was given flat is answered flat."""
    replica = {} if answer is None else {"answer": answer}
    assert asked(message, **replica) == (200, {"data": payload, "meta": {}})


@pytest.mark.parametrize(
    ("input_type", "message", "payload"),
    [
        ("strings", {"strData": "hé"}, {"strData": "hé"}),
        ("strings", array(["a", "b"]), {"data": {"names": [], "ndarray": ["a", "b"]}}),
        ("strings", array([["a"], ["b"]]), {"data": {"names": [], "ndarray": ["a", "b"]}}),
        ("strings", {"jsonData": "a"}, {"jsonData": "a"}),
        ("bytes", {"binData": "aGk="}, {"strData": "hi"}),
    ],
)
def test_texts_and_bytes(input_type, message, payload):
    """As one payload or as rows."""
    found = asked(
        message, input_type=input_type, answer=lambda row: json.dumps(row.decode()).encode()
    )
    assert found == (200, {**payload, "meta": {}})


@pytest.mark.parametrize(
    ("message", "payload"),
    [
        ({"jsonData": {"a": [1, None]}}, {"jsonData": {"a": [1, None]}}),
        ({"jsonData": [1, 2]}, {"jsonData": [1, 2]}),
        ({"strData": "x"}, {"strData": "x"}),
        (array([[1, "a"], [2, "b"]]), {"data": {"names": [], "ndarray": [[1, "a"], [2, "b"]]}}),
        (array([{"a": 1}]), {"data": {"names": ["a"], "ndarray": [[1.0]]}}),
    ],
)
def test_an_application_of_any_gets_what_came(message, payload):
    """Rows of an array are its inputs, every other payload is one."""
    found = asked(message, input_type="any", answer=lambda row: row)
    if "names" in payload.get("data", {}):
        payload["data"]["names"] = found[1]["data"]["names"]
    assert found == (200, {**payload, "meta": {}})


PRICE = Signature(
    input_type="rows",
    fields={"age": {"type": "integer"}, "city": {"type": "string", "default": "Oslo"}},
    required=("age",),
    call="each",
)
SHOUT = Signature(
    input_type="strings",
    fields={"text": {"type": "string"}},
    required=("text",),
    value={"type": "string"},
    call="each",
)


@pytest.mark.parametrize(
    ("signature", "message", "rows"),
    [
        (
            PRICE,
            array([[30, "Rome"], [31, "Bern"]], names=["age", "city"]),
            ['[30,"Rome"]', '[31,"Bern"]'],
        ),
        (PRICE, array([["Rome", 30]], names=["city", "age"]), ['[30,"Rome"]']),
        (PRICE, array(["Rome", 30], names=["city", "age"]), ['[30,"Rome"]']),
        (PRICE, array([[30, "Rome"]]), ['[30,"Rome"]']),
        (
            PRICE,
            {"data": shape([2, 1], [1, 2])["data"] | {"names": ["age"]}},
            ['[1,"Oslo"]', '[2,"Oslo"]'],
        ),
        (PRICE, {"jsonData": {"age": 3}}, ['[3,"Oslo"]']),
        (PRICE, {"jsonData": [{"age": 3}, {"age": 4}]}, ['[3,"Oslo"]', '[4,"Oslo"]']),
        (SHOUT, {"strData": "a"}, ["a"]),
        (SHOUT, array(["a", "b"]), ["a", "b"]),
        (SHOUT, array([["a"], ["b"]]), ["a", "b"]),
        (SHOUT, array([["a"], ["b"]], names=["text"]), ["a", "b"]),
        (SHOUT, {"jsonData": {"text": "a"}}, ["a"]),
    ],
)
def test_names_are_those_of_the_fields_of_inputs(signature, message, rows):
    """By name in any order, or in the order of the fields; what is left out has its default."""

    async def main():
        with ScriptedReplica(answer=lambda _row: b"1") as replica:
            async with serving(cache_bytes=0) as served:
                kind = InputType(signature.input_type)
                made = served.deploy(default=None, input_type=kind, signature=signature)
                await served.attach(replica, made)
                assert (await served.post("/api/v1.0/predictions", message)).status == 200
                assert sorted(row.decode() for batch in replica.batches for row in batch) == rows

    run(main())


@pytest.mark.parametrize(
    ("signature", "message", "words"),
    [
        (PRICE, array([[1, "x"]], names=["age", "town"]), "data.ndarray[0].town: unknown"),
        (PRICE, array([[1, "x"]], names=["age"]), "a row has 2 values, and there are 1 names"),
        (PRICE, array([[1, 2]], names=["age", "age"]), "data.names has a name twice"),
        (PRICE, array([["x", "y"]]), "data.ndarray[0].age: wanted a whole number"),
        (PRICE, {"strData": "x"}, "strData: wanted an object"),
        (PRICE, {"jsonData": {}}, "age: missing"),
        (SHOUT, array([[1]]), "data.ndarray[0]: wanted a text"),
        (SHOUT, {"jsonData": [1, 2]}, "jsonData: wanted a text"),
    ],
)
def test_what_no_signature_takes_is_refused_with_its_place(signature, message, words):
    """In the words of Clipper's bodies, at the place that it has in a message."""

    async def main():
        async with serving() as served:
            kind = InputType(signature.input_type)
            served.deploy(default=None, input_type=kind, signature=signature)
            answer = await served.post("/api/v1.0/predictions", message)
            assert answer.status == 400
            assert words in answer.json["status"]["info"]
            assert "input" not in answer.json["status"]["info"]

    run(main())


def test_meta_comes_back():
    """puid, tags, requestPath and metrics; routing behind the prefix, where all of it is told."""
    meta = {
        "puid": "p",
        "tags": {"a": [1]},
        "requestPath": {"x": "y"},
        "routing": {"r": -1},
        "metrics": [{"key": "k", "type": "GAUGE", "value": 2}],
    }
    message = shape([1, 1], [1]) | {"meta": meta}
    kept = {name: value for name, value in meta.items() if name != "routing"}
    assert asked(message)[1]["meta"] == kept
    found = asked(message, path=PATH)[1]["meta"]
    assert found == meta | {"requestPath": {"model": "model:1", "x": "y"}}


def test_a_default_output_is_told_by_tags():
    """Seldon has no word for it, and tags are free."""

    async def main():
        async with serving() as served:
            served.deploy(model=None, default="-1")
            status, answer = (await served.post(PATH, shape([2, 1], [1, 2]))).pair
            assert (status, answer["data"]["tensor"]["values"]) == (200, [-1, -1])
            assert answer["meta"]["tags"] == {
                "default": True,
                "default_explanation": "No connected models found for query",
            }

    run(main())


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (shape([2, 2], [1, 2, 3]), "a shape of [2, 2] holds 4 values, and there are 3"),
        (shape([-1, 2], [1, 2]), "data.tensor.shape has -1"),
        (shape([], [1]), "data.tensor is empty"),
        (shape([0, 3], []), "data.tensor is empty"),
        (shape([2, 0], []), "data.tensor is empty"),
        ({"data": {"tensor": {"values": [1]}}}, "data.tensor has no shape"),
        ({"data": {"tensor": {"shape": [1]}}}, "data.tensor has no values"),
        (shape([1], ["a"]), "data.tensor.values[0]: expected `float`"),
        (shape([1], [None]), "data.tensor.values[0]: expected `float`"),
        (shape(["a"], [1]), "data.tensor.shape[0]: expected `int`"),
        (shape([1.5], [1]), "data.tensor.shape[0]: expected `int`"),
        ({"data": shape([1], [1])["data"] | {"ndarray": [1]}}, "a tensor and an ndarray"),
        ({"data": {"ndarray": []}}, "data.ndarray is empty"),
        ({"data": {"ndarray": [[]]}}, "data.ndarray is empty"),
        ({"data": {"ndarray": [[1], []]}}, "data.ndarray is empty"),
        ({"data": {"ndarray": "x"}}, "data.ndarray: wanted rows of numbers"),
        (
            {"data": {"ndarray": [[1, "a"]]}},
            'data.ndarray[0][1]: wanted a number, found the text "a"',
        ),
        ({"data": {"ndarray": [[1], 2]}}, "data.ndarray[1]: wanted a list of numbers"),
        ({"data": {"ndarray": [[True]]}}, "data.ndarray[0][0]: wanted a number"),
        ({"data": {"ndarray": [[[1], [1, 2]]]}}, "data.ndarray[0] is ragged"),
        ({"data": {"tftensor": {}}}, "data.tftensor is TensorFlow's own form"),
        ({"data": {}}, "data has nothing: send a tensor or an ndarray"),
        ({"data": {"ndarry": [[1]]}}, "(did you mean ndarray?)"),
        ({"data": {"names": "a", "ndarray": [[1]]}}, "data.names"),
        ({"data": []}, "data: expected `object`"),
        ({"dat": {"ndarray": [[1]]}}, "(did you mean data?)"),
        ({}, "the message has nothing: send one of data"),
        ([], "the message: expected `object`"),
        ({"strData": "x"}, "takes doubles, and the message has strData"),
        ({"binData": "eA=="}, "takes doubles, and the message has binData"),
        ({"strData": "x", "binData": ""}, "the message has strData and binData"),
        ({"customData": {}}, "customData is a message of protobuf's"),
        ({"jsonData": {"a": 1}}, "jsonData: wanted rows of numbers, found an object"),
        ({"data": {"ndarray": [[1]]}, "meta": {"puid": 1}}, "meta.puid"),
        ({"data": {"ndarray": [[1]]}, "meta": []}, "meta: expected `object | null`"),
        (b"{", "it is not JSON"),
        (b'{"strData": "\xff"}', "it is not JSON"),
        (b"", "there is no message"),
        (b" \n", "there is no message"),
        (b"[" * 5000, "the message: expected `object`"),
        (b'{"jsonData": %b}' % (b"[" * 5000), "it is not JSON"),
    ],
)
def test_a_message_that_cannot_be_read_is_refused_in_seldons_shape(message, words):
    """With what is wrong and where, by 400."""
    status, answer = asked(message)
    assert status == 400
    told = answer["status"]
    assert words in told.pop("info")
    assert told == {"code": -1, "reason": "MICROSERVICE_BAD_DATA", "status": 1}


@pytest.mark.parametrize(
    ("input_type", "message", "words"),
    [
        ("integers", shape([1], [1.5]), "data.tensor.values[0] is 1.5"),
        ("integers", array([[1, 2.5]]), "data.ndarray[0][1] is 2.5"),
        ("integers", shape([1], [2**31]), "out of the range of a 32-bit int"),
        ("floats", shape([1], [1e300]), "out of the range of a 32-bit float"),
        ("strings", {"binData": "eA=="}, "takes strings, and the message has binData"),
        ("strings", shape([1], [1]), "a tensor holds numbers"),
        ("strings", array([[1]]), "data.ndarray[0]: wanted a text"),
        ("bytes", {"binData": "!"}, "binData is not base64"),
        ("bytes", {"strData": "x"}, "takes bytes, and the message has strData"),
        ("any", {"data": {"ndarray": {}}}, "data.ndarray: wanted a list of inputs"),
    ],
)
def test_what_an_application_does_not_take_is_refused(input_type, message, words):
    """It is said what it takes."""
    status, answer = asked(message, input_type=input_type)
    assert (status, answer["status"]["reason"]) == (400, "MICROSERVICE_BAD_DATA")
    assert words in answer["status"]["info"]


def test_one_row_that_fails_is_the_answer_of_all():
    """Seldon has no answer in parts."""
    status, answer = asked(shape([2, 1], [1, 2]), poison=lambda row: row == struct.pack("<d", 2))
    assert (status, answer["status"]["reason"]) == (500, "MICROSERVICE_INTERNAL_ERROR")
    status, answer = asked(shape([2, 1], [1, 2]), row_items=3)
    assert status == 400
    assert "takes 3 numbers, the input has 1" in answer["status"]["info"]


def test_both_formats_have_the_path_without_a_name():
    """The first key of a body says which one it is, in any order of requests on a connection."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                await served.attach(replica, served.deploy(default=None))
                client = await served.client()
                tensor = shape([1, 2], [1, 2])
                for body, key in [({"input": [1, 2]}, "output"), (tensor, "data")] * 3:
                    client.send(post("/predict", body))
                    answer = await client.answer()
                    assert (answer.status, key in answer.json) == (200, True)
                for body in ({"input": "x"}, {}, b"{"):
                    assert "cause" in (await served.post("/predict", body)).json
                assert "status" in (await served.post("/predict", {"data": {}})).json
                long = {"data": {"ndarray": [[0.5] * 60_000, [1.5] * 60_000]}}
                for path in ("/predict", PATH, "/predict"):
                    answer = await served.post(path, long)
                    assert (answer.status, answer.json["data"]["ndarray"]) == (200, [30000, 90000])
                long = {"input": [0.5] * 60_000}
                assert (await served.post("/predict", long)).json["output"] == 30000

    run(main())


def test_what_is_no_prediction():
    """Health, metadata and feedback of an application that is no class of Seldon's."""

    async def main():
        async with serving() as served:
            served.deploy(default=None)

            async def get(path):
                data = f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
                return await served.send(data)

            answer = await get("/health/ping")
            assert (answer.status, answer.body) == (200, b"pong")
            for path in ("/health/status", "/seldon/n/app/api/v1.0/health/status"):
                assert (await get(path)).json == {"meta": {}, "strData": "healthy"}
            for path in ("/metadata", "/seldon/n/app/api/v1.0/metadata/app"):
                assert (await get(path)).json["name"] == "model"
            for path in ("/send-feedback", "/seldon/n/app/api/v0.1/feedback"):
                good = {"request": array([[1]]), "reward": 1}
                assert (await served.post(path, good)).pair == (
                    200,
                    {"data": {"ndarray": []}, "meta": {}},
                )
                for wrong in ({}, {"reward": "x"}, {"request": shape([2], [1])}, b"{", []):
                    answer = await served.post(path, wrong)
                    assert (answer.status, "status" in answer.json) == (400, True)
            answer = await served.post("/transform-input", array([[1]]))
            assert (answer.status, "no Seldon class" in answer.json["status"]["info"]) == (
                404,
                True,
            )
            answer = await served.post("/seldon/n/nobody/api/v1.0/predictions", array([[1]]))
            assert (answer.status, answer.json["status"]["code"]) == (404, -1)
            for path in ("/seldon/n/app", "/seldon//app/predict", "/seldon/n/app/api/v2/x"):
                assert (await served.post(path, {})).status == 404
            assert (await get(PATH)).status == 405

    run(main())


def form(*parts):
    """Return a multipart body of names and contents; bytes are a file's."""
    text = b""
    for name, content in parts:
        is_file = isinstance(content, bytes)
        text += b'--B\r\nContent-Disposition: form-data; name="%b"' % name.encode()
        text += b'; filename="f"' if is_file else b""
        text += b"\r\n\r\n%b\r\n" % (content if is_file else content.encode())
    return text + b"--B--\r\n"


def test_a_form_of_an_applications_own_fields_stays_its_own():
    """At the path of both formats: a file called data, and a field that is called so."""
    size = Signature(
        input_type="bytes",
        fields={"data": {"type": "string", "contentEncoding": "base64"}},
        required=("data",),
        value={"type": "string", "contentEncoding": "base64"},
        call="each",
    )
    kind = "Content-Type: multipart/form-data; boundary=B"

    async def main():
        with ScriptedReplica(answer=lambda row: b"%d" % len(row)) as replica:
            async with serving() as served:
                made = served.deploy(default=None, input_type=InputType.BYTES, signature=size)
                await served.attach(replica, made)
                answer = await served.post("/predict", form(("data", b"12345")), kind)
                assert (answer.status, answer.json["output"]) == (200, 5)

    run(main())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (form(("other", "1")), 'the form has a part "other"'),
        (form(("strData", "a"), ("strData", "b")), "twice"),
        (form(("jsonData", "{")), 'the part "jsonData" of the form is not JSON'),
        (form(("data", '{"ndarray": []}')), "data.ndarray"),
        (form(), "the message has nothing"),
        (b"--B\r\n", "cut off"),
    ],
)
def test_a_wrong_form_is_refused(body, words):
    """In Seldon's shape."""

    async def main():
        async with serving() as served:
            served.deploy(default=None)
            kind = "Content-Type: multipart/form-data; boundary=B"
            answer = await served.post("/api/v1.0/predictions", body, kind)
            assert answer.status == 400
            assert words in answer.json["status"]["info"]

    run(main())
