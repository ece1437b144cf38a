"""What is taken, against the jsonschema package: any signature, any input, each way to send it."""

import json
import math

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_runtime.signature import Signature, check
from servd.datatypes import Inputs, InputType
from servd.http.bounds import Bounds
from servd.http.codecs.base import NO_HEAD, PREDICT, RequestError, Wanted
from servd.http.codecs.clipper import CLIPPER
from servd.schemas.checking import EXACT, INT64
from servd.schemas.compiled import UNREADABLE, compiled
from servd.schemas.examples import example_of
from servd.schemas.faults import Faults

WORDS = st.sampled_from(["", "a", "b", "ab", "Oslo", "é", "x" * 9, "3", "null"])
SMALL = st.integers(-3, 3)
NUMBERS = st.one_of(
    SMALL,
    SMALL.map(float),
    st.floats(-4, 4, allow_nan=False),
    st.sampled_from([EXACT, EXACT + 1, -EXACT - 1, 2 * EXACT, *INT64, INT64[1] + 1, 10**30, 1e300]),
)
NAMES = st.sampled_from(["a", "b", "input", "", 'a"b', "a b", "version", "f0", "é\n"])
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def number_schemas(draw):
    """Return a schema of numbers, with bounds or without."""
    schema = {"type": draw(st.sampled_from(["integer", "number", ["number", "null"]]))}
    for low, high in (("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum")):
        if draw(st.booleans()):
            schema[low] = draw(SMALL) - 2
        if draw(st.booleans()):
            schema[high] = draw(st.one_of(SMALL, st.just(2.5))) + 2
    return schema


@st.composite
def text_schemas(draw):
    """Return a schema of texts, with bounds or without."""
    schema = {"type": draw(st.sampled_from(["string", ["string", "null"]]))}
    if draw(st.booleans()):
        schema["minLength"] = draw(st.integers(0, 2))
    if draw(st.booleans()):
        schema["maxLength"] = draw(st.integers(1, 4))
    if draw(st.booleans()):
        schema["pattern"] = draw(st.sampled_from(["^[a-z]*$", "b"]))
    return schema


SIMPLE = st.one_of(
    number_schemas(),
    text_schemas(),
    st.sampled_from(
        [
            {},
            True,
            {"type": "boolean"},
            {"type": "null"},
            {"type": ["boolean", "string"]},
            {"type": ["integer", "number", "null"]},
            {"type": ["object", "null"]},
            {"enum": ["a", "b"]},
            {"enum": [1, 2]},
            {"enum": [1, "a", None, True]},
            {"type": "integer", "enum": [1, 2]},
            {"type": ["string", "null"], "enum": ["a", None]},
            {"type": "string", "enum": ["a", "b"], "maxLength": 1},
            {"const": 1},
            {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            {"anyOf": [{"type": "string"}, {"type": "boolean"}, {"type": "array"}]},
        ]
    ),
)


def nested_schemas(inner):
    """Return schemas of lists and objects of such as are given."""
    lists = st.builds(
        lambda item, low, high: {
            "type": "array",
            "items": item,
            **({} if low is None else {"minItems": low}),
            **({} if high is None else {"maxItems": high}),
        },
        inner,
        st.sampled_from([None, 0, 1]),
        st.sampled_from([None, 1, 2]),
    )
    pairs = st.builds(
        lambda one, two: {
            "type": "array",
            "prefixItems": [one, two],
            "items": False,
            "minItems": 2,
        },
        inner,
        inner,
    )
    objects = st.builds(
        lambda properties, others, is_required: {
            "type": "object",
            "properties": properties,
            "required": list(properties)[:is_required],
            **({} if others is None else {"additionalProperties": others}),
        },
        st.dictionaries(NAMES, inner, max_size=2),
        st.sampled_from([None, True, False, {"type": "integer"}]),
        st.integers(0, 2),
    )
    return lists | pairs | objects


SCHEMAS = st.recursive(SIMPLE, nested_schemas, max_leaves=3)


@st.composite
def signatures(draw):
    """Return a signature of rows, with defaults for some of its fields."""
    fields = draw(st.dictionaries(NAMES, SCHEMAS, min_size=1, max_size=3))
    required = []
    for name, schema in fields.items():
        default = example_of(Signature(input_type="rows", value=schema)) if schema else 1
        if isinstance(schema, dict) and draw(st.booleans()):
            fields[name] = schema | {"default": default}
        else:
            required.append(name)
    value = draw(st.sampled_from([None, None, {"type": "integer"}, {"type": "string"}]))
    if value is not None and len(fields) > 1:
        value = None
    extra = draw(st.sampled_from(["refuse", "refuse", "ignore"]))
    made = Signature(
        input_type="rows", fields=fields, required=tuple(required), value=value, extra=extra
    )
    check(made)
    return made


@st.composite
def cases(draw):
    """Return a signature and an input, which often is one."""
    signature = draw(signatures())
    fields = signature.fields
    value = {
        name: draw(st.one_of(st.just(_like(schema, draw)), JSON))
        for name, schema in fields.items()
        if draw(st.integers(0, 9))
    }
    how = draw(st.sampled_from(["object", "object", "list", "other", "extra"]))
    if how == "list":
        value = list(value.values())
    elif how == "extra":
        value = value | {draw(NAMES): draw(JSON)}
    elif how == "other":
        value = draw(JSON)
    return signature, value


def _like(schema, draw):
    """Return a value that a schema may take."""
    if not isinstance(schema, dict):
        return draw(JSON)
    kinds = schema.get("type", [])
    kind = draw(st.sampled_from([kinds] if isinstance(kinds, str) else list(kinds) or ["any"]))
    made = {
        "integer": SMALL | SMALL.map(float),
        "number": NUMBERS,
        "string": WORDS,
        "boolean": st.booleans(),
        "null": st.none(),
    }
    if kind in made:
        return draw(made[kind])
    if kind == "array":
        parts = schema.get("prefixItems") or [schema.get("items")] * draw(st.integers(0, 2))
        return [_like(part, draw) for part in parts]
    if kind == "object":
        return {name: _like(part, draw) for name, part in schema.get("properties", {}).items()}
    return draw(st.sampled_from(schema.get("enum") or [schema.get("const"), 1, None]))


def numbers_are_held(schema, value):
    """Whether all numbers have a place in a row: what JSON Schema does not say."""
    schema = schema if isinstance(schema, dict) else {}
    if isinstance(value, list):
        first, others = schema.get("prefixItems", []), schema.get("items", True)
        parts = [first[at] if at < len(first) else others for at in range(len(value))]
        return all(map(numbers_are_held, parts, value))
    if isinstance(value, dict):
        named, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        return all(numbers_are_held(named.get(name, others), each) for name, each in value.items())
    if "anyOf" in schema:
        return any(numbers_are_held(way, value) for way in schema["anyOf"])
    kinds = schema.get("type", ())
    is_number = "number" in ([kinds] if isinstance(kinds, str) else kinds)
    if not kinds or isinstance(value, bool | None | str) or (is_number and value != int(value)):
        return True
    if is_number:
        return isinstance(value, float) or (abs(value) < 10**308 and int(float(value)) == value)
    return INT64[0] <= value <= INT64[1]


def is_taken(signature, value):
    """Return what the reference says."""
    if not jsonschema.Draft202012Validator(signature.input_schema()).is_valid(value):
        return False
    if isinstance(value, dict):
        return all(
            numbers_are_held(signature.fields[name], each)
            for name, each in value.items()
            if name in signature.fields
        )
    if signature.value is not None:
        return numbers_are_held(signature.value, value)
    return all(map(numbers_are_held, signature.fields.values(), value))


class Taking:
    """An application with one signature."""

    def __init__(self, signature):
        self.inputs = Inputs(InputType(signature.input_type), signature)


class Kept(list):
    """Rows of a long body."""

    def __init__(self):
        self.row = b""

    def write(self, piece):
        """Add to the present row."""
        self.row += bytes(piece)

    def end_row(self):
        """Begin the next row."""
        self.append(self.row)
        self.row = b""


def long(signature, body):
    """Return the rows of a body that is read beside."""
    bounds = Bounds(max_body_bytes=1 << 20, max_rows=1000, max_values=10**6, max_ratio=10)
    wanted = Wanted(inputs=Taking(signature).inputs, verb=PREDICT, head=NO_HEAD, bounds=bounds)
    rows = Kept()
    CLIPPER.read_long(memoryview(body), wanted, rows, int)
    return list(rows)


def outcome(function, *args):
    """Return what a function returns, or why it refuses."""
    try:
        return function(*args)
    except RequestError as error:
        return error.status, error.detail


@settings(
    max_examples=4 * settings.default.max_examples // 5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(cases())
def test_what_is_taken_is_what_the_schema_takes(case):
    """By the short path and the long one, alone and in a batch, with the same row and faults."""
    signature, value = case
    decode = CLIPPER.decoder(Taking(signature), NO_HEAD)
    body = json.dumps({"input": value}).encode()
    found = outcome(decode, body)
    taken = is_taken(signature, value)
    assert isinstance(found, bytes) == taken, found
    assert outcome(long, signature, body) == ([found] if taken else found)
    batch = json.dumps({"input_batch": [value, value]}).encode()
    several = outcome(decode, batch)
    if taken:
        assert several.rows == [found, found]
        assert len(msgspec.json.decode(found)) == len(signature.fields)
    else:
        assert several[0] == 422
        assert several[1][0]["loc"][:2] == ["input_batch", 0]
    assert outcome(long, signature, batch) == (several.rows if taken else several)


@settings(
    max_examples=4 * settings.default.max_examples // 5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(cases())
def test_what_is_read_fast_is_read_slowly_too(case):
    """And is the same row: msgspec's types take no more than the checks, and nothing else."""
    signature, value = case
    reads = compiled(signature)
    text = json.dumps(value).encode()
    try:
        row = reads.to_row(msgspec.json.decode(text, type=reads.one))
    except UNREADABLE:
        return
    faults = Faults()
    assert reads.check(json.loads(text), ("input",), faults) == row
    assert not faults


@settings(
    max_examples=settings.default.max_examples // 2,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(signatures(), st.data())
def test_columns_are_the_rows_of_objects(signature, data):
    """Whatever the columns hold: the same rows, or the same places that are wrong."""
    names = list(signature.fields)
    count = data.draw(st.integers(1, 3))
    columns = {
        name: [_like(signature.fields[name], data.draw) for _ in range(count)] for name in names
    }
    objects = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    decode = CLIPPER.decoder(Taking(signature), NO_HEAD)
    one = outcome(decode, json.dumps({"input_batch": objects}).encode())
    other = outcome(decode, json.dumps({"input_batch": columns}).encode())
    assert one == other


@settings(
    max_examples=3 * settings.default.max_examples // 5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(SCHEMAS)
def test_an_example_is_an_input(schema):
    """What is made of a schema is what the schema takes, where it takes anything of the kind."""
    made = example_of(Signature(input_type="rows", value=schema)) if schema else None
    bounds = {"pattern", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
    if not bounds & set(json.dumps(schema).replace('"', " ").split()):
        assert jsonschema.Draft202012Validator(schema).is_valid(made)


@pytest.mark.parametrize("number", [EXACT, EXACT + 1, -EXACT, 1 << 62, 10**308, 10**309])
def test_a_whole_number_is_held_exactly_or_refused(number):
    """A double has some of the whole numbers beyond 2^53."""
    signature = Signature(input_type="rows", fields={"x": {"type": "number"}}, required=("x",))
    found = outcome(CLIPPER.decoder(Taking(signature), NO_HEAD), b'{"input":[%d]}' % number)
    is_held = number < 10**308 and int(float(number)) == number
    if is_held:
        assert json.loads(found) == [number]
        assert not math.isinf(json.loads(found)[0])
    else:
        assert found[0] == 422
