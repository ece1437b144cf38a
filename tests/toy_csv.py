"""A wire format that servd does not have: CSV in and out, one input a line."""

# ruff: noqa: ARG002, D102  # the seam's docstrings say what each is; a toy needs not all of it

import json
from typing import ClassVar

from servd.http.codecs.base import (
    STATUS,
    Asked,
    Codec,
    Frame,
    RequestError,
    Resource,
    cause_of,
    packed,
)
from servd.http.wire import Reply

CSV = b"text/csv"


class CsvCodec(Codec):
    """POST /NAME/csv?sep=%3B; the header X-Missing says what stands for an input without output."""

    spelled = "tests.toy_csv:CSV_CODEC"
    wants_head = True
    headers: ClassVar = {"x-missing": frozenset()}

    def find(self, path):
        name, _, verb = path.strip(b"/").partition(b"/")
        return Resource(name.decode()) if verb == b"csv" else None

    def decoder(self, takes, head):
        if (kind := takes.inputs.input_type) != "doubles":
            raise RequestError(415, "Unsupported", f"CSV holds doubles, not {kind}")
        sep = ";" if "sep=;" in head.query else ","

        def decode(body):
            try:
                lines = body.decode().split("\n")
                rows = [packed(map(float, line.split(sep)), "d") for line in lines if line]
            except ValueError as error:
                raise RequestError(400, "Bad CSV", str(error)) from None
            return rows[0] if len(rows) == 1 else Asked(rows)

        return decode

    def kind(self, head):
        return CSV

    def renderer(self, head):
        return lambda answer: b"%s\n" % answer[1]

    def missed(self, route, query_id, why, row, head):
        return Reply(STATUS[why.kind], cause_of(route, why, row).encode(), CSV)

    def gather(self, route, head):
        return Lines(head.headers.get("x-missing", "").encode())


class Lines:
    """An answer of as many lines."""

    def __init__(self, missing):
        self.missing = missing

    def output(self, query_id, output):
        return json.dumps(json.loads(bytes(output))).encode()

    def missed(self, index, query_id, why, row):
        return self.missing

    def frame(self, count):
        return Frame(200, b"", b"\n", b"\n")


CSV_CODEC = CsvCodec()
