"""Applications of all kinds, as their documents show them, and the signatures of their models."""

from dataclasses import replace

from model_runtime.signature import IGNORE, REFUSE, Signature
from servd.datatypes import Inputs, InputType
from servd.http.documents.application import Described

CREDIT = Signature(
    input_type="rows",
    fields={
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "income": {"type": ["number", "null"]},
        "city": {"type": "string", "enum": ["Oslo", "Bergen", "Tromsø <b>"]},
        "since": {"type": "string", "format": "date"},
        "is_member": {"type": "boolean", "default": False},
        "note": {"type": "string", "default": ""},
    },
    required=("age", "income", "city", "since"),
    output={"type": "string", "enum": ["no", "yes"]},
    has_example=True,
    example=[33, 52000.5, "Oslo", "2021-05-04", True, "a"],
)
SUM_OF_TWO = Signature(
    input_type="rows",
    fields={
        "a": {"type": "integer", "default": 0},
        "b": {"type": "integer", "exclusiveMinimum": 3, "maximum": 9, "default": 5},
    },
    output={"type": "integer"},
    call="each",
    extra=IGNORE,
)
UPPER = Signature(
    input_type="strings",
    fields={"text": {"type": "string"}},
    required=("text",),
    value={"type": "string"},
    output={"type": "string"},
    call="each",
)
TOKENS = Signature(
    input_type="strings",
    fields={"text": {"type": "string"}},
    required=("text",),
    value={"type": "string"},
    output={"type": "string"},
    call="each",
    is_stream=True,
)
IRIS = Signature(
    input_type="doubles",
    value={"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
    output={
        "type": "object",
        "properties": {"label": {"type": "string"}, "probabilities": {"type": "object"}},
        "required": ["label", "probabilities"],
    },
    has_example=True,
    example=[5.1, 3.5, 1.4, 0.2],
)
HOUSE = Signature(
    input_type="rows",
    fields={
        "rooms": {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 5},
        "owner": {
            "type": "object",
            "properties": {"name": {"type": "string", "minLength": 2}},
            "required": ["name"],
        },
        "kind": {"anyOf": [{"const": "flat"}, {"const": "house"}]},
    },
    required=("rooms", "owner", "kind"),
    call="each",
)


def wide(count: int, title: str = "") -> Signature:
    """Return the signature of a model on many columns."""
    names = [f"column_{number}" for number in range(count)]
    return Signature(
        input_type="rows",
        fields={name: {"type": ["number", "null"], "title": title or name} for name in names},
        required=tuple(names),
    )


def described(name: str, signature: Signature, **more) -> Described:
    """Return an application on the current version of a model with a signature."""
    inputs = Inputs(InputType(signature.input_type), signature)
    given = {"model": name, "version": "1", "versions": ("1",), "slo_s": 0.1, "inputs": inputs}
    return Described(name=name, **(given | more))


SIGNED = [
    described("credit", CREDIT, default=b'"no"'),
    described("two", SUM_OF_TWO),
    described("upper", UPPER, is_guarded=True),
    described("tokens", TOKENS),
    described("iris", IRIS, versions=("1", "2", "a b")),
    described("house", HOUSE),
    described("wide", wide(120)),
    described(
        "changed",
        CREDIT,
        versions=("1", "2"),
        inputs=Inputs(InputType.ROWS, CREDIT, {"2": replace(SUM_OF_TWO, extra=REFUSE), "3": None}),
    ),
]
"""Applications whose models say what they take."""

UNSIGNED = [
    Described(
        name=f"{kind.value}{'' if items is None else items}$&'()",
        inputs=Inputs(kind),
        model="m",
        row_items=items,
        default=b"-1",
    )
    for kind in InputType
    for items in ((None, 3) if kind.item_bytes else (None,))
] + [Described(name="none", inputs=Inputs(InputType.DOUBLES))]
"""Applications that are known by their input type alone, and one without a model."""

ALL = [*SIGNED, *UNSIGNED]
