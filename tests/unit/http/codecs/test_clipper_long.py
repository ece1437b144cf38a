"""Long bodies are read as short ones are, a piece at a time and within bounds."""

import base64
import json
import random
import tracemalloc

import pytest

from servd.datatypes import InputType
from servd.http.bounds import Bounds
from servd.http.codecs import clipper_bodies, clipper_long
from servd.http.codecs.clipper_long import read
from servd.http.codecs.refusals import RequestError

BOUNDS = Bounds(max_body_bytes=1 << 26, max_rows=1000, max_values=100_000, max_ratio=200)
LETTERS = ["a", "é", "😀", "\n", '"', "\\", "\ud7ff", "/", "\u2028"]


class Kept:
    """Rows that are kept."""

    def __init__(self):
        self.rows = []
        self.row = b""

    def write(self, piece):
        """Add to the present row."""
        self.row += bytes(piece)

    def end_row(self):
        """Begin the next row."""
        self.rows.append(self.row)
        self.row = b""


def long(body, input_type, bounds=BOUNDS):
    """Return the rows and the version that a body asks for, as long bodies are read; or None."""
    kept = Kept()
    try:
        asked = read(memoryview(body), input_type, bounds, kept)
    except RequestError as error:
        assert error.status in (400, 413)  # noqa: PT017 - most bodies raise nothing
        return None
    return kept.rows, asked.version


def short(body, input_type):
    """Return the same as short bodies are read."""
    try:
        asked = clipper_bodies.DECODE[input_type](body)
    except (RequestError, UnicodeDecodeError):
        return None
    if isinstance(asked, bytes):
        return [asked], None
    return asked.rows if isinstance(asked.rows, list) else [asked.rows], asked.version


def value(chance, input_type):
    """Return a random input of a type."""
    count = chance.randint(0, 40)
    if input_type is InputType.INTEGERS:
        return [chance.randint(-(2**31), 2**31 - 1) for _ in range(count)]
    if input_type.item_bytes:
        return [chance.choice((chance.random(), chance.randint(-5, 5), 1e30)) for _ in range(count)]
    if input_type is InputType.STRINGS:
        return "".join(chance.choices(LETTERS, k=count))
    if input_type is InputType.BYTES:
        return base64.b64encode(chance.randbytes(count)).decode()
    return chance.choice(([1, [2, "x,[y"]], {"a": "é😀\\"}, "t", None, 3.5, [{}]))


def body_of(chance, input_type):
    """Return a random body, most of them right."""
    if chance.random() < 0.4:
        request = {"input_batch": [value(chance, input_type) for _ in range(chance.randint(0, 5))]}
    else:
        request = {"input": value(chance, input_type)}
    if chance.random() < 0.2:
        request["version"] = chance.choice(("1", None, 7))
    separators = chance.choice(((",", ":"), (" , ", " : ")))
    body = json.dumps(request, ensure_ascii=chance.random() < 0.5, separators=separators).encode()
    if chance.random() < 0.3:
        at = chance.randrange(len(body))
        if chance.random() < 0.3:
            body = body.replace(b"{", b'{"x":"\\ud83d y",', 1)
        elif chance.random() < 0.3:
            body = body.replace(b"{", b'{"x":["\\ud83d\\ude00",{}],', 1)
        odd = chance.choice((b"[", b"]", b",", b"x", b'"', b"", b"{", b"null", b"1e999"))
        body = body[:at] + odd + body[at + 1 :]
    return body


@pytest.mark.parametrize("piece_bytes", [30, 50, 1 << 20])
@pytest.mark.parametrize("input_type", list(InputType))
def test_a_long_body_has_the_rows_of_a_short_one(monkeypatch, input_type, piece_bytes):
    """Whatever is cut where: the same rows, or a refusal of what short bodies are refused for."""
    monkeypatch.setattr(clipper_long, "PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(clipper_long, "_CUT_SEARCH_BYTES", min(40, piece_bytes - 1))
    chance = random.Random(f"{input_type}{piece_bytes}")
    for _ in range(400):
        body = body_of(chance, input_type)
        try:
            body.decode()
        except UnicodeDecodeError:
            assert long(body, input_type) is None
        else:
            assert long(body, input_type) == short(body, input_type), body


@pytest.mark.parametrize(
    ("body", "input_type", "why"),
    [
        (b'{"input":[1,"x"]}', InputType.DOUBLES, "type String is not of type double"),
        (b'{"input":[[1]]}', InputType.INTEGERS, "type Array is not of type int"),
        (
            b'{"input":7}',
            InputType.DOUBLES,
            r"found type Number \(this application takes doubles: ",
        ),
        (b'{"input":{"a":1}}', InputType.DOUBLES, r'Object \(.* doubles: {"input": \[1.5, 2\]}\)'),
        (b'{"input":null}', InputType.STRINGS, r"Null \(this application takes strings: "),
        (b'{"input":[]}', InputType.BYTES, r"Array \(this application takes bytes: "),
        (b'{"input_batch":{}}', InputType.DOUBLES, "expected type Arraybut found type Object"),
        (b'{"input_batch":[[1],true]}', InputType.FLOATS, "type True is not of type float"),
        (b'{"input":[1e39]}', InputType.FLOATS, "out of the range of a float"),
        (b'{"input":[2147483648]}', InputType.INTEGERS, "range|<= 2147483647"),
        (b'{"input":"\xff"}', InputType.STRINGS, "not UTF-8"),
        (b'{"input":"\xff"}', InputType.ANY, "not UTF-8"),
        (b"{}", InputType.ANY, "input: missing; the body is to have"),
        (b"[" * 90_000, InputType.ANY, "nested too deeply"),
        (b'{"input":' + b"[" * 90_000 + b"]" * 90_000 + b"}", InputType.ANY, "nested too deeply"),
    ],
)
def test_a_refusal_says_why(body, input_type, why):
    """In the words that short bodies are refused with, where they have some."""
    with pytest.raises(RequestError, match=why) as caught:
        read(memoryview(body), input_type, BOUNDS, Kept())
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("input_type", "row"),
    [
        (InputType.DOUBLES, b"[]"),
        (InputType.INTEGERS, b"[7]"),
        (InputType.STRINGS, b'""'),
        (InputType.STRINGS, b'"a\\"b"'),
        (InputType.BYTES, b'"QUJD"'),
        (InputType.ANY, b"[1,{}]"),
    ],
)
def test_rows_are_bounded(input_type, row):
    """As many as are allowed are read; one more is refused, and says by which setting."""
    body = b'{"input_batch":[%b]}' % b",".join([row] * 1000)
    assert len(long(body, input_type)[0]) == 1000
    body = b'{"input_batch":[%b]}' % b",".join([row] * 1001)
    with pytest.raises(RequestError, match=r"more than 1000 inputs: .*--max-rows") as caught:
        read(memoryview(body), input_type, BOUNDS, Kept())
    assert caught.value.status == 413


def test_values_are_bounded():
    """A model of `any` would have to build an object for each."""
    body = b'{"input":[%b1]}'
    assert long(body % (b"1," * 90_000), InputType.ANY)
    with pytest.raises(RequestError, match=r"JSON values: .*--max-values") as caught:
        read(memoryview(body % (b"1," * 100_000)), InputType.ANY, BOUNDS, Kept())
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("body", "input_type"),
    [
        (b'{"input":[' + b"0," * 3_000_000 + b"0]}", InputType.DOUBLES),
        (b'{"input":[' + b"0," * 1_500_000 + b"0]}", InputType.FLOATS),
        (b'{"input_batch":[[' + b"0," * 3_000_000 + b"0]]}", InputType.INTEGERS),
        (b'{"input":[' + b"[]," * 2_000_000 + b"[]]}", InputType.DOUBLES),
        (b'{"input_batch":[' + b"[]," * 2_000_000 + b"[]]}", InputType.DOUBLES),
        (b'{"input_batch":[' + b'"",' * 2_000_000 + b'""]}', InputType.STRINGS),
        (b'{"input_batch":[' + b"0," * 3_000_000 + b"0]}", InputType.ANY),
        (b'{"input":"' + b"\\ud83d\\ude00" * 500_000 + b'"}', InputType.STRINGS),
        (b'{"input":"' + b"a\\nb" * 1_500_000 + b'"}', InputType.STRINGS),
        (b'{"input":"' + b"abcd" * 1_500_000 + b'"}', InputType.ANY),
        (b"{" + b'"a":1,' * 1_000_000 + b'"input":[1]}', InputType.DOUBLES),
    ],
)
def test_no_more_than_a_piece_is_built_at_a_time(body, input_type):
    """The memory that reading takes depends on the piece and not on the body."""

    class Dropped(Kept):
        def write(self, piece):
            """Keep nothing."""

    bounds = Bounds(max_body_bytes=1 << 26, max_rows=1000, max_values=10**9, max_ratio=200)
    tracemalloc.start()
    try:
        read(memoryview(body), input_type, bounds, Dropped())
    except RequestError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # As objects, three million numbers take 96 MB, and half of them 48.
    assert peak < 40_000_000
