"""Files over real connections: bodies that are the input, forms, short ones and long ones."""

import asyncio
import base64
import gzip
import json
import os
import time
import tracemalloc
from contextlib import suppress

import pytest

from model_runtime.signature import Signature
from servd.carriers.long_bytes import LONG_BYTES
from servd.datatypes import Inputs, InputType
from servd.http.bounds import LONG_BODY_BYTES
from servd.http.codecs.base import BesideError, Head, RequestError
from servd.http.codecs.clipper import CLIPPER
from servd.http.codecs.forms import MAX_PARTS_AT_ONCE
from servd.http.query.parsing import RequestParser
from tests.scripted_replica import ScriptedReplica
from tests.serving import post, run, serving, until

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\r\n--\x00" + bytes(range(256)) * 4
LONG = JPEG * (LONG_BODY_BYTES // len(JPEG) + 1)
PICTURE = Signature(
    input_type="rows",
    fields={
        "image": {"type": "string", "contentEncoding": "base64"},
        "threshold": {"type": "number", "default": 0.5},
        "note": {"type": "string", "default": ""},
    },
    required=("image",),
)
ONE = Signature(
    input_type="bytes",
    fields={"image": {"type": "string", "contentEncoding": "base64"}},
    required=("image",),
    value={"type": "string", "contentEncoding": "base64"},
    call="each",
)


def digest(row):
    """Return the length of a row and its first bytes."""
    return json.dumps([len(row), bytes(row)[:8].hex()]).encode()


def said(data):
    """Return what the model says of bytes."""
    return [len(data), data[:8].hex()]


def with_files(check, *, signature=None, answer=digest, **settings):
    """Run `check(served, replica)` on an application of bytes, or of what a signature says."""
    kind = InputType(signature.input_type) if signature else InputType.BYTES

    async def main():
        with ScriptedReplica(answer=answer) as replica:
            async with serving(**settings) as served:
                made = served.deploy(input_type=kind, signature=signature, default=None)
                await served.attach(replica, made)
                await check(served, replica)
                await until(lambda: not served.server.reader.held.held)

    run(main())


def form(*parts, boundary="x1"):
    """Return the body of a form; a part is a name, a content, and a file's name where it is one."""
    lines = []
    for name, content, *filename in parts:
        head = f'Content-Disposition: form-data; name="{name}"'
        head += f'; filename="{filename[0]}"' if filename else ""
        data = content.encode() if isinstance(content, str) else content
        lines.append(f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n")
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


FORM = "Content-Type: multipart/form-data; boundary=x1"


@pytest.mark.parametrize("content", [JPEG, LONG, b" \n", b"{", b'{"other": 1}', b'"aGk="', b"[1]"])
@pytest.mark.parametrize(
    "kind",
    ["application/octet-stream", "image/jpeg", "application/x-www-form-urlencoded", "text/plain"],
)
def test_a_body_that_is_not_json_is_the_input(content, kind):
    """As it came, whatever its type says; and again from the cache."""

    async def check(served, replica):
        for _ in range(3):
            answer = await served.post("/app/predict", content, f"Content-Type: {kind}")
            assert (answer.status, answer.json["output"]) == (200, said(content))
        assert len(replica.batches) == (1 if len(content) < LONG_BODY_BYTES else 3)
        assert replica.batches[0] == [content]

    with_files(check)


@pytest.mark.parametrize("filler", [b"", b" " * LONG_BODY_BYTES])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "image/png"])
def test_an_object_with_inputs_is_json_all_the_same(filler, kind):
    """As `curl -d` sends it."""

    async def check(served, _replica):
        body = filler + b'{"input": "aGVsbG8="}'
        answer = await served.post("/app/predict", body, f"Content-Type: {kind}")
        assert (answer.status, answer.json["output"]) == (200, said(b"hello"))
        body = filler + b'{"version": "1", "input_batch": ["aGVsbG8=", "aGk="]}'
        answer = await served.post("/app/predict", body, f"Content-Type: {kind}")
        outputs = [each["output"] for each in answer.json["batch_predictions"]]
        assert outputs == [said(b"hello"), said(b"hi")]

    with_files(check)


@pytest.mark.parametrize("content", [b"{" + LONG, LONG])
def test_a_long_packed_body_is_unpacked(content):
    """Beside, as any; what comes out is the input."""

    async def check(served, replica):
        packed = gzip.compress(content)
        for body in (packed, gzip.compress(os.urandom(LONG_BODY_BYTES)) + packed):
            data = gzip.decompress(body)
            head = post("/app/predict", body, "Content-Encoding: gzip", "Content-Type: image/x")
            answer = await served.send(head)
            assert (answer.status, answer.json["output"]) == (200, said(data))
        assert replica.batches[0] == [content]

    with_files(check)


def test_a_file_said_to_be_json_is_refused():
    """With what to send instead."""

    async def check(served, _replica):
        for lines in ((), ("Content-Type: application/json",)):
            answer = await served.post("/app/predict", JPEG, *lines)
            assert answer.status == 400
            assert "a JPEG: send it to an application of input type bytes" in answer.json["cause"]
            assert "application/octet-stream" in answer.json["cause"]

    with_files(check)


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/jpeg"])
def test_no_bytes_are_no_input(kind):
    """An empty file is a mistake: the error says how an empty input is sent."""

    async def check(served, _replica):
        answer = await served.post("/app/predict", b"", f"Content-Type: {kind}")
        assert answer.status == 400
        assert "the body is empty: send the file's bytes" in answer.json["cause"]
        assert (await served.predict({"input": ""}))[1]["output"] == [0, ""]

    with_files(check)


def test_a_version_is_named_in_the_query_string():
    """There is no other place for it; and the same body is another query then."""

    async def check(served, _replica):
        for content in (JPEG, LONG):
            for _ in range(3):
                answer = await served.post("/app/predict?version=1", content, "Content-Type: a/b")
                assert (answer.status, answer.json["output"]) == (200, said(content))
                answer = await served.post("/app/predict?version=9", content, "Content-Type: a/b")
                assert answer.status == 400
                assert "9 does not exist" in answer.json["cause"]

    with_files(check)


def test_a_long_file_is_not_read_by_another_process():
    """It is a row as it is; none of the daemon's objects of bytes is as long."""

    async def check(served, replica):
        content = os.urandom(8 << 20)
        tracemalloc.start()
        answer = await served.post("/app/predict", content, "Content-Type: image/jpeg")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2.5 * len(content)  # the client's request, and what the replica received
        assert (answer.status, answer.json["output"]) == (200, said(content))
        assert served.server.reader.quick._process is None
        assert served.server.reader.slow._process is None
        assert [len(row) for row in replica.batches[0]] == [8 << 20]

    with_files(check)


# --- forms ---


@pytest.mark.parametrize("content", [JPEG, LONG])
@pytest.mark.parametrize("signature", [None, ONE])
def test_the_files_of_a_form_are_inputs(content, signature):
    """One is one input, several are a batch, in order; the names say nothing."""

    async def check(served, _replica):
        for _ in range(2):
            body = form(("file", content, "cat.jpg"))
            answer = await served.post("/app/predict", body, FORM)
            assert (answer.status, answer.json["output"]) == (200, said(content))
        body = form(("image", content, "a"), ("files", b"two", "b"), ("version", "1"))
        answer = await served.post("/app/predict", body, FORM)
        outputs = [each["output"] for each in answer.json["batch_predictions"]]
        assert outputs == [said(content), said(b"two")]

    with_files(check, signature=signature)


@pytest.mark.parametrize(
    ("signature", "parts", "is_beside"),
    [
        (None, [("file", LONG, "cat.jpg")], False),
        (ONE, [("image", LONG, "cat.jpg"), ("version", "1")], False),
        (None, [("a", LONG, "a"), ("b", LONG, "b")], False),
        (PICTURE, [("image", LONG, "cat.jpg"), ("note", "é" * 10_000)], False),
        (PICTURE, [("image", JPEG, "cat.jpg"), ("note", "é" * LONG_BODY_BYTES)], True),
        (PICTURE, [("image", LONG)], True),
        (None, [(f"f{number}", LONG[:10_000], "x") for number in range(20)], True),
        (None, [("file", LONG * 8, "cat.jpg")], True),
    ],
    ids=["file", "named", "batch", "fields", "text", "base64", "many", "longest"],
)
def test_a_long_form_of_files_is_not_read_by_another_process(signature, parts, is_beside):
    """Its parts are only looked for; one with much that is to be read is, with the same answer."""

    async def check(served, _replica):
        body = form(*parts)
        assert len(body) > LONG_BODY_BYTES
        answers = [await served.post("/app/predict", body, FORM) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 200], answers[0].body
        assert (served.server.reader.quick._process is None) != is_beside or len(body) > 4 << 20
        outputs = [each["output"] for each in answers[0].json.get("batch_predictions", ())]
        if signature is PICTURE:
            assert answers[0].json["output"][0] == base64.b64encode(parts[0][1]).decode()
        else:
            given = [said(content) for _, content, *filename in parts if filename]
            assert (outputs or [answers[0].json["output"]]) == given

    with_files(check, signature=signature, answer=bytes if signature is PICTURE else digest)


def test_a_form_of_many_files_is_read_beside():
    """It is short, and still more work than the event loop has time for."""

    async def check(served, _replica):
        count = 4 * MAX_PARTS_AT_ONCE
        body = form(*((f"f{number}", b"%d" % number, "x") for number in range(count)))
        assert len(body) < LONG_BODY_BYTES
        answer = await served.post("/app/predict", body, FORM)
        assert [each["output"] for each in answer.json["batch_predictions"]] == [
            said(b"%d" % number) for number in range(count)
        ]
        assert served.server.reader.quick._process is not None

    with_files(check)


@pytest.mark.parametrize("content", [JPEG, LONG, b"", b"\0"])
def test_the_parts_of_a_form_are_fields(content):
    """Files are the fields of bytes, texts what a query string would make of them."""

    async def check(served, replica):
        given = {"filename": "cat.jpg"} if content else {}
        body = form(("image", content, *given.values()), ("threshold", "0.25"), ("note", "é"))
        answer = await served.post("/app/predict", body, FORM)
        assert answer.status == 200, answer.body
        as_json = {"image": base64.b64encode(content).decode(), "threshold": 0.25, "note": "é"}
        assert (await served.predict({"input": as_json}))[1]["output"] == answer.json["output"]
        assert answer.json["output"] == [as_json["image"], 0.25, "é"]
        body = form(("image", content, *given.values()))
        answer = await served.post("/app/predict", body, FORM)
        assert answer.json["output"] == [as_json["image"], 0.5, ""]
        assert len(replica.batches) == (2 if len(content) < LONG_BODY_BYTES else 3)

    with_files(check, signature=PICTURE, answer=bytes)


FILE = ("image", JPEG, "cat.jpg")


BROKEN = [
    (form(FILE)[:-20], FORM, 400, "it is cut off: its last line is to be --x1--"),
    (form(FILE), "Content-Type: multipart/form-data", 400, "has no boundary"),
    (form(FILE), "Content-Type: multipart/form-data; boundary=", 400, "has no boundary"),
    (form(FILE), f"{FORM}2", 400, "it does not begin with its boundary, --x12"),
    (b"", FORM, 400, "it is cut off"),
    (b"x", FORM, 400, "it is cut off"),
    (form(), FORM, 422, "form: wanted a file, found none"),
    (form(("image", b"", "cat.jpg")), FORM, 422, "image: the file cat.jpg is empty"),
    (form(("threshold", "1")), FORM, 422, "threshold: there is no such field"),
    (form(FILE).replace(b'name="image"; ', b""), FORM, 400, "a part has no name"),
    (form(FILE).replace(b"form-data", b"attachment"), FORM, 400, "Content-Disposition"),
    (form(FILE).replace(b"Content-D", b"D"), FORM, 400, "issing Content-Disposition"),
    (
        form(FILE).replace(b"\r\n\r\n", b"\r\nContent-Type: multipart/mixed\r\n\r\n", 1),
        FORM,
        400,
        'the part "image" is a form itself',
    ),
    (
        form(FILE).replace(
            b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", 1
        ),
        FORM,
        400,
        'the part "image" has a Content-Transfer-Encoding (quoted-printable)',
    ),
    (form(FILE).replace(b"\r\n", b"\n"), FORM, 400, "line break"),
    (form(FILE).replace(b"image", b"\xff\xfe"), FORM, 400, "decode"),
    (form(FILE).replace(b"image", b"i" * 3000), FORM, 400, "header length"),
    (form(FILE, ("version", "7")), FORM, 400, "7 does not exist"),
    (form(FILE, ("version", "7" * 2000)), FORM, 422, "no version has so long a name"),
]


@pytest.mark.parametrize(
    ("body", "line", "status", "words", "is_long"),
    [(*each, False) for each in BROKEN]
    + [(*each, True) for each in BROKEN if len(each[0]) >= 40 and b"\r\n" in each[0]],
)
def test_a_form_that_is_none_is_refused(body, line, status, words, is_long):
    """By what is wrong with it, also where it is long; the next request is answered."""
    if is_long:
        body = body.replace(JPEG, LONG)
        if len(body) < LONG_BODY_BYTES:
            body = body.replace(b"--x1--", form(("file", LONG, "x")))

    async def check(served, _replica):
        answer = await served.post("/app/predict", body, line)
        assert (answer.status, words in answer.json["cause"]) == (status, True), answer.json
        answer = await served.post("/app/predict", JPEG, "Content-Type: image/jpeg")
        assert answer.json["output"] == said(JPEG)

    with_files(check)


@pytest.mark.parametrize(
    ("parts", "loc", "words"),
    [
        ([FILE, ("treshold", "1")], ["form", "treshold"], "unknown; did you mean threshold?"),
        ([("threshold", "1")], ["form", "image"], "image: missing"),
        ([FILE, FILE], ["form", "image"], "it is given 2 times"),
        ([FILE, ("threshold", "x")], ["form", "threshold"], 'wanted a number, found the text "x"'),
        ([FILE, ("threshold", "1"), ("threshold", "2")], ["form", "threshold"], "2 times"),
        ([FILE, ("threshold", b"\xff", "f")], ["form", "threshold"], "a file that is no text"),
        ([FILE, ("note", b"\xff")], ["form", "note"], "not utf-8"),
        ([("image", b"", "cat.jpg")], ["form", "image"], "the file is empty"),
    ],
)
def test_a_wrong_part_is_named(parts, loc, words):
    """With 422, its place and what is wrong with it."""

    async def check(served, _replica):
        for more in ((), ("note", "x" * LONG_BODY_BYTES)):
            body = form(*parts, *([more] if more and loc[1] != "note" else []))
            answer = await served.post("/app/predict", body, FORM)
            assert answer.status == 422
            (fault,) = answer.json["detail"]
            assert fault["loc"] == loc
            assert words in fault["msg"]

    with_files(check, signature=PICTURE)


@pytest.mark.parametrize("kind", ["bytes", "rows"])
def test_a_form_of_a_million_parts_is_refused(kind):
    """Soon, and with what to do."""

    async def check(served, _replica):
        part = b'--x1\r\nContent-Disposition: form-data; name="image"; filename="f"\r\n\r\n1\r\n'
        answer = await served.post("/app/predict", part * 300_000 + b"--x1--", FORM)
        assert answer.status == 413
        assert "send several requests" in answer.json["cause"]

    with_files(check, signature=None if kind == "bytes" else PICTURE)


def test_a_form_for_what_takes_none_is_refused():
    """An application of numbers without names."""

    async def check(served, _replica):
        answer = await served.post("/app/predict", form(FILE), FORM)
        assert answer.status == 400
        assert "a form (multipart)" in answer.json["cause"]

    with_files(check, signature=Signature(input_type="doubles"))


HEADER = b"Content-Disposition: form-data; name=a; filename=b"
EVIL = [
    HEADER,
    HEADER + b"; a=" + b'"' * 1900,
    HEADER + b"; a =" * 380,
    HEADER + b';a="\\' * 390,
    HEADER + b';a="\\' * 90,
    (HEADER + b';a="\\' * 90 + b"\r\n") * 3 + HEADER,
    HEADER + b"; " + b"a" * 1900,
    HEADER + b";" + b" " * 1900,
    HEADER + (b"\r\n" + HEADER) * 7,
    HEADER + b"\r\n\r\n" + b"\r\n-" * 40_000,
    HEADER + b"\r\n\r\n" + b"\r\n--x1" * 20_000,
    HEADER + b"\r\n\r\n" + b"\r" * 120_000,
    HEADER + b"\r\n\r\n" + b"\r\n-" * 400_000,
    HEADER + b"\r\n\r\n" + b"\r\n--x0" * 200_000,
    HEADER + b"\r\n\r\n" + b"-" * LONG_BYTES,
    HEADER + b"\r\n\r\n" + b"\r\n" * 500_000,
    b"\r" * 120_000,
    b"a:b\r\n" * 20_000,
]
"""Heads of parts, and what is in them, that are much work."""


class Takes:
    """An application of bytes."""

    inputs = Inputs(InputType.BYTES)


@pytest.mark.parametrize("head", EVIL)
def test_no_form_in_memory_takes_long(head):
    """The event loop has 5 ms for one; what looks like more work is read beside."""
    begin = b"--x1\r\n"
    bodies = [
        (begin + head + b"\r\n\r\n1\r\n") * count
        for count in (1, 16, 60, 9000)
        if count * len(head) < 4 * LONG_BYTES
    ]
    decode = CLIPPER.decoder(Takes(), Head(headers={"content-type": FORM.partition(": ")[2]}))
    for body in bodies:
        took = []
        for _ in range(5):
            began = time.thread_time()
            with suppress(RequestError, BesideError):
                decode(body[:LONG_BYTES])
            took.append(time.thread_time() - began)
        assert min(took) < 0.005


@pytest.mark.parametrize("cut", [None, 1, 70_000])
def test_a_long_file_goes_past_the_parser_and_its_head_is_known(cut, monkeypatch):
    """However it is cut, with what comes behind it, again and again on one connection."""
    monkeypatch.setattr(RequestParser, "on_body", None)  # whoever calls it has parsed a body

    async def check(served, _replica):
        client = await served.client()
        request = post("/app/predict", LONG, "Content-Type: image/jpeg")
        last = post("/app/predict", LONG[:-1], "Content-Type: image/jpeg", "Connection: close")
        client.send(request * 2)
        for data in (request[:cut], request[len(request[:cut]) :] + last):
            client.send(data)
            await asyncio.sleep(0)
        for content in (LONG, LONG, LONG, LONG[:-1]):
            assert (await client.answer()).json["output"] == said(content)
        assert await client.is_closed()
        assert list(served.server.known_long) == [request[: -len(LONG)]]

    with_files(check)


def test_what_is_known_of_a_long_files_head_ends_with_what_it_was_known_of():
    """With the application; and one that hangs up amid it gives its room back."""

    async def check(served, _replica):
        request = post("/app/predict", LONG, "Content-Type: image/jpeg")
        assert (await served.send(request)).json["output"] == said(LONG)
        client = await served.client()
        client.send(request[:-1])
        await until(lambda: served.server.reader.held.held)
        await client.close()
        await until(lambda: not served.server.reader.held.held)
        client = await served.client()
        client.send(request[:-1])
        await until(lambda: served.server.reader.held.held)
        served.engine._remove_route("app")
        client.send(request[-1:])
        assert (await client.answer()).status == 404
        assert (await served.send(request)).status == 404

    with_files(check)
