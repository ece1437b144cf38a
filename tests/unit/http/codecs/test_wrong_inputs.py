# ruff: noqa: E501  # a table is read by its columns
"""Wrong inputs of several applications: each a status, a field, and words that help.

None of them is said in Clipper's words, which are riddles where inputs have names and types.
"""

import base64
import json
from dataclasses import replace

import pytest

from model_runtime.signature import Signature
from servd.datatypes import Inputs, InputType
from servd.http.bounds import Bounds
from servd.http.codecs.base import NO_HEAD, PREDICT, Asked, Head, RequestError, Wanted
from servd.http.codecs.clipper import CLIPPER
from servd.http.query.body_reader import RowFile
from servd.schemas import faults

CREDIT = Signature(
    input_type="rows",
    fields={
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "income": {"type": ["number", "null"]},
        "city": {"type": "string", "minLength": 1},
        "since": {"type": "string", "format": "date-time"},
        "born": {"type": ["string", "null"], "format": "date"},
        "plan": {"enum": ["basic", "premium"]},
        "is_member": {"type": "boolean", "default": False},
    },
    required=("age", "income", "city", "since", "born", "plan"),
    has_example=True,
    example={
        "age": 33,
        "income": 51000.5,
        "city": "Oslo",
        "since": "2020-03-01T00:00:00",
        "born": None,
        "plan": "basic",
    },
)
HOUSE = Signature(
    input_type="rows",
    fields={
        "rooms": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "m2": {"type": "number"}},
                "required": ["name", "m2"],
                "additionalProperties": False,
            },
            "minItems": 1,
        },
        "at": {
            "type": "array",
            "prefixItems": [{"type": "number"}, {"type": "number"}],
            "items": False,
            "minItems": 2,
        },
        "input": {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^[a-z]+$"}]},
    },
    required=("rooms", "at", "input"),
    call="each",
)
ADD = Signature(
    input_type="rows",
    fields={"a": {"type": "integer", "default": 0}, "b": {"type": "integer", "default": 0}},
    call="each",
)
UPPER = Signature(
    input_type="strings",
    fields={"text": {"type": "string"}},
    required=("text",),
    value={"type": "string"},
    call="each",
)
FLOWER = Signature(
    input_type="doubles",
    fields={"sepal length": {"type": "number"}, "sepal width": {"type": "number"}},
    required=("sepal length", "sepal width"),
)
COUNTS = Signature(
    input_type="integers",
    fields={"n": {"type": "integer"}, "m": {"type": "integer"}},
    required=("n", "m"),
)
PICTURE = Signature(
    input_type="bytes",
    fields={"img": {"type": "string", "contentEncoding": "base64"}},
    required=("img",),
    value={"type": "string", "contentEncoding": "base64"},
    call="each",
)
CHAT = Signature(
    input_type="any",
    value={
        "type": "object",
        "properties": {"prompt": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["prompt"],
    },
)
ANYTHING = Signature(input_type="any")
LOOSE = replace(CREDIT, extra="ignore")

GOOD = (
    '"age": 33, "income": null, "city": "Oslo", "since": "2020-01-01", "born": null, '
    '"plan": "basic"'
)


def credit(**changes):
    """Return a body for CREDIT with other texts for some fields; None leaves one out."""
    fields = dict(part.split(": ") for part in GOOD.split(", "))
    fields |= {f'"{name}"': text for name, text in changes.items()}
    inner = ", ".join(f"{name}: {text}" for name, text in fields.items() if text is not None)
    return f'{{"input": {{{inner}}}}}'


BODY, WHOLE, BATCH = ["body"], ["input"], ["input_batch"]
WRONG = [
    # --- a field of an object ---
    (CREDIT, credit(age='"33"'), ["input", "age"], 'age: wanted a whole number from 0 to 150, found the text "33"'),
    (CREDIT, credit(age="33.5"), ["input", "age"], "found the number 33.5"),
    (CREDIT, credit(age="null"), ["input", "age"], "wanted a whole number from 0 to 150, found null"),
    (CREDIT, credit(age="true"), ["input", "age"], "found true"),
    (CREDIT, credit(age="-1"), ["input", "age"], "found the number -1"),
    (CREDIT, credit(age="151"), ["input", "age"], "from 0 to 150"),
    (CREDIT, credit(age="[33]"), ["input", "age"], "found a list of 1"),
    (CREDIT, credit(age="9223372036854775808"), ["input", "age"], "9223372036854775808"),
    (CREDIT, credit(age="1" + "0" * 400), ["input", "age"], "whole number"),
    (CREDIT, credit(age=None), ["input", "age"], "age: missing, wanted a whole number from 0 to 150"),
    (CREDIT, credit(income='"much"'), ["input", "income"], 'wanted a number or null, found the text "much"'),
    (CREDIT, credit(income="9007199254740993"), ["input", "income"], "does not hold exactly"),
    (CREDIT, credit(income="1" + "0" * 400), ["input", "income"], "a double holds"),
    (CREDIT, credit(income="{}"), ["input", "income"], "found an empty object"),
    (CREDIT, credit(city="7"), ["input", "city"], "wanted a text of at least 1 character, found the number 7"),
    (CREDIT, credit(city='""'), ["input", "city"], "found an empty text"),
    (CREDIT, credit(since='"yesterday"'), ["input", "since"], 'such as "2024-03-01T12:00:00", found the text "yesterday"'),
    (CREDIT, credit(since='"2020-13-01"'), ["input", "since"], "month must be in 1..12"),
    (CREDIT, credit(since='"1500-01-01"'), ["input", "since"], "beyond what pandas holds"),
    (CREDIT, credit(since='"2300-01-01"'), ["input", "since"], "beyond what pandas holds"),
    (CREDIT, credit(since="1577836800"), ["input", "since"], "found the number 1577836800"),
    (CREDIT, credit(born='"2020-01-01T10:00"'), ["input", "born"], "a date as text"),
    (CREDIT, credit(plan='"Premum"'), ["input", "plan"], 'one of "basic", "premium", found the text "Premum"; did you mean premium?'),
    (CREDIT, credit(plan="null"), ["input", "plan"], "found null"),
    (CREDIT, credit(is_member="1"), ["input", "is_member"], "wanted true or false, found the number 1"),
    (CREDIT, credit(zip="1"), ["input", "zip"], "zip: unknown; wanted age, income, city"),
    (CREDIT, credit(city=None, City='"Oslo"'), ["input", "City"], "City: unknown; did you mean city?"),
    (CREDIT, credit(city=None, town='"Oslo"'), ["input", "city"], "found age, income, since, born, plan, town"),
    (LOOSE, credit(age=None, Age="33"), ["input", "age"], "age: missing"),
    # --- an input ---
    (CREDIT, '{"input": {}}', ["input", "age"], "found no fields"),
    (CREDIT, '{"input": null}', WHOLE, "found null"),
    (CREDIT, '{"input": 3}', WHOLE, "or a list of 7 in this order, found the number 3"),
    (CREDIT, '{"input": "age=3"}', WHOLE, 'found the text "age=3"'),
    (CREDIT, '{"input": [33, null, "Oslo"]}', WHOLE, "wanted 7 values in the order age, income"),
    (CREDIT, '{"input": [33, null, "Oslo", "2020-01-01", null, 5, false]}', ["input", "plan"], "found the number 5"),
    (ADD, '{"input": {"a": "1"}}', ["input", "a"], 'a: wanted a whole number, found the text "1"'),
    (ADD, '{"input": {"c": 1}}', ["input", "c"], "c: unknown; wanted a, b"),
    (ADD, '{"input": 7}', WHOLE, "wanted an object with a, b"),
    (UPPER, '{"input": 7}', WHOLE, "wanted a text or an object with text, found the number 7"),
    (UPPER, '{"input": ["a"]}', WHOLE, "found a list of 1"),
    (UPPER, '{"input": {"txt": "a"}}', ["input", "txt"], "txt: unknown; did you mean text?"),
    (UPPER, '{"input": {"text": 1}}', ["input", "text"], "text: wanted a text, found the number 1"),
    (FLOWER, '{"input": {"sepal length": 1}}', ["input", "sepal width"], "sepal width: missing, wanted a number"),
    (FLOWER, '{"input": {"sepal_length": 1, "sepal width": 2}}', ["input", "sepal_length"], "did you mean sepal length?"),
    (FLOWER, '{"input": "1,2"}', WHOLE, "wanted an object with sepal length, sepal width, or a list of 2"),
    (FLOWER, '{"input": [1, "2"]}', ["input", "sepal width"], 'found the text "2"'),
    (COUNTS, '{"input": {"n": 2147483648, "m": 1}}', ["input", "n"], "found the number 2147483648"),
    (COUNTS, '{"input": {"n": 1.5, "m": 1}}', ["input", "n"], "wanted a whole number, found the number 1.5"),
    (PICTURE, '{"input": "not base64!"}', WHOLE, "wanted bytes as base64 text, found the text"),
    (PICTURE, '{"input": {"img": "aGk"}}', ["input", "img"], "img: wanted bytes as base64 text"),
    (HOUSE, '{"input": {"rooms": [], "at": [1, 2], "input": 1}}', ["input", "rooms"], "found an empty list"),
    (HOUSE, '{"input": {"rooms": [{"name": "k"}], "at": [1, 2], "input": 1}}', ["input", "rooms", 0, "m2"], "rooms[0].m2: missing, wanted a number"),
    (HOUSE, '{"input": {"rooms": [{"name": "k", "m2": "9"}], "at": [1, 2], "input": 1}}', ["input", "rooms", 0, "m2"], 'found the text "9"'),
    (HOUSE, '{"input": {"rooms": [{"name": "k", "m2": 9}], "at": [1], "input": 1}}', ["input", "at"], "wanted a list of 2: a number, a number, found a list of 1"),
    (HOUSE, '{"input": {"rooms": [{"name": "k", "m2": 9}], "at": [1, 2, 3], "input": 1}}', ["input", "at"], "found a list of 3"),
    (HOUSE, '{"input": {"rooms": [{"name": "k", "m2": 9}], "at": [1, 2], "input": "A1"}}', ["input", "input"], "that matches ^[a-z]+$"),
    (HOUSE, '{"input": {"rooms": [{"name": "k", "m2": 9}], "at": [1, 2], "input": null}}', ["input", "input"], "wanted a whole number or a text that matches"),
    (CHAT, '{"input": {"n": 1}}', ["input", "prompt"], "prompt: missing, wanted a text; found n"),
    (CHAT, '{"input": {"prompt": 1}}', ["input", "prompt"], "wanted a text, found the number 1"),
    (CHAT, '{"input": "hi"}', WHOLE, 'wanted an object with prompt, n, found the text "hi"'),
    # --- several inputs ---
    (CREDIT, '{"input_batch": {}}', BATCH, "columns: age, income, city"),
    (CREDIT, '{"input_batch": 3}', BATCH, "wanted a list of inputs, or an object of columns: age, income"),
    (CREDIT, '{"input_batch": [3]}', ["input_batch", 0], "input_batch[0]: wanted an object with"),
    (CREDIT, f'{{"input_batch": [{{{GOOD}}}, {{{GOOD.replace("33", "null")}}}]}}', ["input_batch", 1, "age"], "input_batch[1].age: wanted a whole number from 0 to 150, found null"),
    (ADD, '{"input_batch": {"a": [1, 2], "b": [1]}}', BATCH, "columns are of unlike lengths: a has 2, b has 1"),
    (CREDIT, '{"input_batch": {"age": [1]}}', ["input_batch", "city"], "city: missing, wanted a text of at least 1 character; found age"),
    (ADD, '{"input_batch": {"a": 1}}', ["input_batch", "a"], "wanted a list, the column's values, found the number 1"),
    (ADD, '{"input_batch": {"a": [1, "x"]}}', ["input_batch", 1, "a"], 'input_batch[1].a: wanted a whole number, found the text "x"'),
    (ADD, '{"input_batch": {"a": [1], "c": [1]}}', ["input_batch", "c"], "unknown; wanted a, b"),
    (UPPER, '{"input_batch": "abc"}', BATCH, 'found the text "abc"'),
    (UPPER, '{"input_batch": ["a", 1]}', ["input_batch", 1], "input_batch[1]: wanted a text"),
    (replace(FLOWER, fields={"age": {"type": "number"}}, required=("age",)), '{"input": [1, 2]}', WHOLE, "input: wanted 1 value: age; found 2"),
    (FLOWER, '{"input_batch": [[1, 2], [1]]}', ["input_batch", 1], "wanted 2 values in the order sepal length, sepal width; found 1"),
    # --- the body ---
    (CREDIT, '{"inputs": {"age": 3}}', WHOLE, 'the body has "inputs": name it "input" (one input)'),
    (CREDIT, '{"instances": [[1]]}', WHOLE, 'name it "input_batch"'),
    (CREDIT, '{"data": [[1]]}', WHOLE, 'the body has "data": name it "input"'),
    (CREDIT, '{"dataframe_split": {"columns": [], "data": []}}', WHOLE, 'send "input_batch": a list of objects'),
    (CREDIT, '{"Input": 1}', WHOLE, 'name it "input"'),
    (CREDIT, '{"inputbatch": 1}', WHOLE, 'name it "input_batch"'),
    (CREDIT, '{"age": 33}', WHOLE, 'put the fields into "input"'),
    (CREDIT, '{"what": 33}', WHOLE, 'the body has "what": send "input" (one input) or "input_batch"'),
    (CREDIT, "{}", WHOLE, 'the body is to have "input"'),
    (CREDIT, '{"version": "1"}', WHOLE, 'the body is to have "input"'),
    (CREDIT, "[1, 2]", BODY, "found a list of 2"),
    (CREDIT, "33", BODY, "found the number 33"),
    (CREDIT, "null", BODY, "found null"),
    (CREDIT, credit()[:-1] + ', "version": 1.5}', ["version"], "version: wanted a text, found the number 1.5"),
    (CREDIT, credit()[:-1] + ', "version": ["1"]}', ["version"], "found a list of 1"),
]  # fmt: skip

NO_JSON = [
    (b"", "empty"),
    (b"   ", "empty"),
    (b'{"input": NaN}', "NaN, which JSON does not have: send null"),
    (b'{"input": {"age": Infinity}}', "Infinity, which JSON does not have"),
    (b'{"input": {"income": 1e999}}', "beyond the range of a double"),
    (b"{\"input\": {'age': 3}}", "in double quotes"),
    (b'{"input": {"age": 3}', "missing"),
    (b'{"input": {"age": 3,}}', "missing"),
    (b"age=3&city=Oslo", "a form (key=value)"),
    (b"\xff\xd8\xff\xe0JFIF", "a JPEG"),
    (b"\x89PNG\r\n", "a PNG"),
    (b'--x\r\nContent-Disposition: form-data; name="f"\r\n\r\n1\r\n--x--', "multipart"),
    ('{"input": {"city": "Ørsta"}}'.encode("latin-1"), "not UTF-8"),
    ('{"input": 1}'.encode("utf-16"), "UTF-16"),
    (b'{"input": {"city": "\\ud800"}}', "surrogate"),
    (b"[" * 100_000, "deep"),
]
EVERY = [CREDIT, HOUSE, ADD, UPPER, FLOWER, COUNTS, PICTURE, CHAT, LOOSE]
RIDDLES = ("Type mismatch", "but found", "[double] |", "is not of type", "Expected JSON schema")


class Taking:
    """An application with one signature."""

    def __init__(self, signature):
        self.inputs = Inputs(InputType(signature.input_type), signature)


def refused(signature, body, head=NO_HEAD):
    """Return why a body is refused."""
    with pytest.raises(RequestError) as caught:
        CLIPPER.decoder(Taking(signature), head)(body)
    return caught.value


def refused_long(signature, body):
    """Return why a body is refused where it is read beside."""
    bounds = Bounds(max_body_bytes=1 << 20, max_rows=1000, max_values=10**6, max_ratio=10)
    inputs = Taking(signature).inputs
    wanted = Wanted(inputs=inputs, verb=PREDICT, head=NO_HEAD, bounds=bounds)
    rows = RowFile()
    try:
        with pytest.raises(RequestError) as caught:
            CLIPPER.read_long(memoryview(body), wanted, rows, int)
    finally:
        rows.close()
    return caught.value


@pytest.mark.parametrize(("signature", "body", "loc", "words"), WRONG)
def test_a_wrong_input_is_said_by_its_field(signature, body, loc, words):
    """The status is 422; words name the field, what came and what is wanted; an example follows."""
    error = refused(signature, body.encode())
    assert (error.status, error.error) == (422, "Invalid input")
    fault = next(each for each in error.detail if each["loc"] == loc)
    assert words in fault["msg"]
    assert error.detail[0]["msg"] in error.cause
    assert 'Example: {"input' in error.cause
    assert not any(riddle in error.cause for riddle in RIDDLES)
    assert len(error.cause) <= LONGEST


def test_the_table_is_of_many():
    """Sixty at least, and no two are the same."""
    assert len({(id(signature), body) for signature, body, *_ in WRONG}) == len(WRONG) >= 60


@pytest.mark.parametrize(("signature", "body", "loc", "words"), WRONG)
def test_a_long_body_is_refused_for_the_same(signature, body, loc, words):
    """Where a body is read does not change what is said of it."""
    error = refused_long(signature, body.encode())
    assert error.status == 422
    fault = next(each for each in error.detail if each["loc"] == loc)
    assert words in fault["msg"] or loc == WHOLE
    assert "Example: " in error.cause


@pytest.mark.parametrize("signature", EVERY, ids=lambda each: each.input_type)
@pytest.mark.parametrize(("body", "words"), NO_JSON)
def test_what_is_no_json_is_named(signature, body, words):
    """The status is 400, as there is nothing to find fields in."""
    error = refused(signature, body)
    assert (error.status, error.detail) == (400, None)
    assert words in error.cause
    assert "Example: " in error.cause
    assert not any(riddle in error.cause for riddle in RIDDLES)


LONGEST = 330
PHOTO = replace(PICTURE, has_example=True, example=base64.b64encode(bytes(range(256)) * 4).decode())
FORM = replace(
    PHOTO,
    input_type="rows",
    fields={
        "picture": {"type": "string", "contentEncoding": "base64"},
        "side": {"type": "integer"},
    },
    required=("picture", "side"),
    value=None,
    example={"picture": PHOTO.example, "side": 3},
)
WIDE = Signature(
    input_type="rows",
    fields={f"a column with a long name {at}": {"type": "number"} for at in range(1000)},
    required=tuple(f"a column with a long name {at}" for at in range(1000)),
    has_example=True,
    example={f"a column with a long name {at}": 1.5 for at in range(1000)},
)
TEXT = Signature(
    input_type="rows",
    fields={
        "text": {"enum": ["y" * 300 + str(at) for at in range(20)]},
        "t" * 200: {"type": "array", "prefixItems": [{"const": "z" * 99}] * 20},
    },
    required=("text", "t" * 200),
    has_example=True,
    example={"text": "y" * 300 + "0", "t" * 200: ["z" * 99] * 20},
)
LONG = "w" * 5000


@pytest.mark.parametrize(
    "signature", [PHOTO, FORM, WIDE, TEXT], ids=["picture", "form", "wide", "text"]
)
@pytest.mark.parametrize(
    "body",
    [
        {"input": 5},
        {"input": {"side": LONG}},
        {"input_batch": [{"side": LONG, LONG: LONG}] * 30},
        {"inputs": LONG, **{LONG + str(at): LONG for at in range(9)}},
        {"input": {"text": LONG, "t" * 200: [LONG] * 20}},
        {"input": "not base64"},
        {"version": [LONG]},
        [LONG],
    ],
    ids=lambda body: "".join(body)[:11],
)
def test_no_refusal_is_long(signature, body):
    """Whatever came, and whatever the example is: a file in it is described."""
    for error in (
        refused(signature, json.dumps(body).encode()),
        refused_long(signature, json.dumps(body).encode()),
    ):
        assert len(error.cause) <= LONGEST, error.cause
        assert all(len(fault["msg"]) <= LONGEST for fault in error.detail or ())
    assert PHOTO.example[:50] not in error.cause


def test_a_picture_in_an_example_is_described():
    """How long it is; what is short stands as it is."""
    assert refused(PHOTO, b'{"input": 5}').cause.endswith(
        ' Example: {"input":"<base64 of 1,024 bytes>"}'
    )
    assert refused(FORM, b'{"input": 5}').cause.endswith(
        ' Example: {"input":{"picture":"<base64 of 1,024 bytes>","side":3}}'
    )
    assert refused(CREDIT, b'{"input": 5}').cause.endswith('"plan":"basic"}}')


QUERIES = [
    (CREDIT, "age=x&income=1&city=O&since=2020-01-01&born=&plan=basic", "age", 'found the text "x"'),
    (CREDIT, "income=1&city=O&since=2020-01-01&born=&plan=basic", "age", "age: missing"),
    (CREDIT, "age=1&age=2", "age", "age: it is given 2 times, wanted once"),
    (CREDIT, "Age=1&income=1&city=O&since=2020-01-01&born=&plan=basic", "Age", "did you mean age?"),
    (CREDIT, "age=1&city=%ff", "city", "not UTF-8"),
    (ADD, "a=1.5", "a", "found the number 1.5"),
    (ADD, "a=nan", "a", 'found the text "nan"'),
    (ADD, "a=", "a", "found an empty text"),
    (ADD, "a=1&d=3", "d", "d: unknown; wanted a, b"),
    (ADD, "a=99999999999999999999", "a", "wanted a whole number from"),
    (UPPER, "", "text", "text: missing"),
    (FLOWER, "sepal+length=1&sepal%20width=wide", "sepal width", 'found the text "wide"'),
    (COUNTS, "n=3000000000&m=1", "n", "one of integers"),
]  # fmt: skip


@pytest.mark.parametrize(("signature", "query", "name", "words"), QUERIES)
def test_a_wrong_query_string_is_said_by_its_field(signature, query, name, words):
    """As a body is; the place is the query string, and so is the example."""
    error = refused(signature, b"", Head(query=query, method="GET"))
    assert error.status == 422
    fault = next(each for each in error.detail if each["loc"] == ["query", name])
    assert words in fault["msg"]
    assert f" Example: ?{next(iter(signature.fields)).replace(' ', '%20')}=" in error.cause
    assert "?." not in error.cause


@pytest.mark.parametrize(
    ("signature", "query", "row"),
    [
        (ADD, "a=1&b=-2", b"[1,-2]"),
        (ADD, "b=2.0", b"[0,2]"),
        (ADD, "", b"[0,0]"),
        (ADD, "a=1&version=", b"[1,0]"),
        (ADD, "a=%31&&b=+2", b"[1,2]"),
        (ADD, "a=1&version=3", Asked(b"[1,0]", "3")),
        (UPPER, "text=a+b%26%C3%A9", "a b&é".encode()),
        (
            CREDIT,
            "age=3&income=&city=7&since=2020-01-01&born=null&plan=basic&is_member=True",
            b'[3,null,"7","2020-01-01T00:00:00",null,"basic",true]',
        ),
        (
            HOUSE,
            "rooms=[{%22name%22:%22k%22,%22m2%22:9}]&at=1&at=2&input=abc",
            b'[[{"name":"k","m2":9.0}],[1.0,2.0],"abc"]',
        ),
        (PICTURE, "img=aGk%3D", b"hi"),
    ],
)
def test_a_query_string_is_an_input(signature, query, row):
    """Texts become what each field wants; defaults are filled in."""
    assert CLIPPER.decoder(Taking(signature), Head(query=query, method="GET"))(b"") == row


OPEN = [
    (b'{"input_batch": 3}', "input_batch: wanted a list of inputs, found the number 3"),
    (
        b'{"input_batch": {"a": [1]}}',
        "input_batch: wanted a list of inputs, found an object with a",
    ),
    (b'{"input_batch": null}', "found null"),
    (b'{"input": 1, "version": 1.5}', "version: wanted a text, found the number 1.5"),
    (b'{"inputs": [1]}', 'the body has "inputs": name it "input" (one input)'),
    (b'{"instances": [1]}', 'name it "input_batch"'),
    (b"{}", 'the body is to have "input"'),
    (b"[1]", "found a list of 1"),
    (b"1", "found the number 1"),
    (b'{"input": NaN}', "holds NaN, which JSON does not have: send null"),
    (b"a=1", "a form (key=value)"),
    (b"\xff\xd8\xff", "a JPEG"),
    (b"", "empty"),
]


@pytest.mark.parametrize("input_type", ["any", "rows"])
@pytest.mark.parametrize(("body", "words"), OPEN)
def test_an_application_without_a_signature_speaks_plainly(input_type, body, words):
    """Clipper has neither type: none of its words are in what is said, wherever it is read."""
    taking = Taking(ANYTHING)
    taking.inputs = Inputs(InputType(input_type))
    with pytest.raises(RequestError) as caught:
        CLIPPER.decoder(taking, NO_HEAD)(body)
    assert (caught.value.status, caught.value.error) == (400, "Json error")
    assert words in caught.value.cause
    assert caught.value.cause.endswith('Example: {"input": {"age": 31}}')
    assert not any(riddle in caught.value.cause for riddle in RIDDLES)


@pytest.mark.parametrize(
    ("input_type", "body", "clipper", "ours"),
    [
        ("doubles", b'{"input": [1, "x"]}', "type String is not of type double", '(input[1]: found the text "x"; this application takes doubles, such as [1.5, 2])'),
        ("floats", b'{"input_batch": [[1], [2, true]]}', "type True is not of type float", "(input_batch[1][1]: found true;"),
        ("strings", b'{"input": 3}', "JSON key input expected type Stringbut found type Number", 'strings: {"input": "text"}'),
        ("doubles", b'{"inputs": [1]}', "does not have required keys", 'Send {"input": …} or {"input_batch": [ … ]}: name it "input" (one input)'),
        ("doubles", b'{"instances": [[1]]}', "does not have required keys", 'name it "input_batch"'),
        ("doubles", b'{"input": [1], "version": 1.5}', "JSON key version expected type stringbut found type Number", "wanted a text, found the number 1.5"),
    ],
)  # fmt: skip
def test_clipper_s_words_stay_for_its_cases_and_ours_follow(input_type, body, clipper, ours):
    """A client of Clipper's finds what it looks for, a person what to do."""
    taking = Taking(ANYTHING)
    taking.inputs = Inputs(InputType(input_type))
    with pytest.raises(RequestError) as caught:
        CLIPPER.decoder(taking, NO_HEAD)(body)
    assert caught.value.status == 400
    assert clipper in caught.value.cause
    assert ours in caught.value.cause.partition(clipper)[2] + caught.value.cause


@pytest.mark.parametrize("where", ["input", "body", "columns"])
def test_what_was_meant_is_looked_for_a_few_times_only(where, monkeypatch):
    """Comparing names takes its time, on the event loop: a body may have thousands of wrong ones."""
    compared = []

    def get_close_matches(_word, likely, *_):
        compared.append(len(likely))
        return []

    monkeypatch.setattr(faults.difflib, "get_close_matches", get_close_matches)
    names = [f"column {number} of many" for number in range(2000)]
    wide = Signature(input_type="rows", fields={name: {} for name in names}, required=tuple(names))
    wrong = {f"{name}s": [1] for name in names}
    body = {"input": {"input": wrong}, "columns": {"input_batch": wrong}}.get(where, wrong)
    error = refused(wide, json.dumps(body).encode())
    assert len(error.detail) <= 20
    assert len(compared) <= 20
    assert sum(compared) <= 2000
    assert len(json.dumps(error.detail)) < 20_000
