"""What JSON Schema has no words for, told to schemathesis: used by test_schemathesis.py.

Of right requests only: columns have equal lengths, dates are those that pandas holds, and whole
numbers are written without a point, as Clipper's type `integers` wants them.
"""

import json
from datetime import date

import schemathesis
from hypothesis import strategies

schemathesis.openapi.format(
    "date", strategies.dates(date(1700, 1, 1), date(2200, 1, 1)).map(date.isoformat)
)


@schemathesis.hook
def map_case(context, case):
    """Make a generated request what it is meant to be."""
    del context
    case.query = {
        # What the document says of such parameters (`content`), schemathesis does not do.
        name: json.dumps(value) if isinstance(value, dict) else value
        for name, value in (case.query or {}).items()
    }
    if case.meta is None or case.meta.generation.mode.is_positive:
        case.body = _whole(case.body)
        if isinstance(case.body, dict) and isinstance(case.body.get("input_batch"), dict):
            case.body["input_batch"] = _equal(case.body["input_batch"])
    return case


@schemathesis.hook
def filter_case(context, case):
    """Leave out wrong files and forms: what is wrong with a value is right as bytes."""
    del context
    is_right = case.meta is None or case.meta.generation.mode.is_positive
    return is_right or case.media_type in (None, "application/json")


def _equal(columns):
    lengths = [len(column) for column in columns.values() if isinstance(column, list)]
    return {
        name: column[: min(lengths)] if isinstance(column, list) else column
        for name, column in columns.items()
    }


def _whole(value):
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
