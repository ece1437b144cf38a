"""The test call: a freshly loaded model answers once before it gets queries. Called by loop.py.

With an example of its owner any failure is final. Without one the shape of an input is guessed:
a model that raises on a guess has proved nothing, one that returns a wrong thing has. What was
found out is a `Report`, as nobody may be told of a test that did not take place.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import field, replace
from typing import Any, Final

from model_runtime import failure, forks, inputs, protocol
from model_runtime.examples import example_of, named, narrowed
from model_runtime.failure import MODEL_ERRORS, ModelFault
from model_runtime.guesses import by_fields, guesses_of, numeric_probes, ones, other_guesses
from model_runtime.loaders.base import CallPredictor, LoadedModel, Predictor
from model_runtime.manifest import Manifest
from model_runtime.older import dataclass
from model_runtime.outputs import OutputError
from model_runtime.refusals import InputError, cause_of
from model_runtime.signature import EACH, Signature

_MAX_SHOWN_INPUT: Final = 2048
_MAX_REASONS: Final = 3
_MAX_EXAMPLE_SIGNS: Final = 200
_MAX_TRIED: Final = 8
_MAX_TRIED_SIGNS: Final = 40
_EXAMPLE: Final = "example"
_SIGNATURE: Final = "signature"
_GUESS: Final = "guess"
_MAX_REPEATED_S: Final = 1.0
"""A model that takes longer is not asked the same once more."""
SEVERAL: Final = 16
_SEVERAL_FROM_S: Final = 0.0005
_SEVERAL_TO_S: Final = 0.06
"""Quicker models learn their batch size in a moment; of slower ones nobody waits for so many."""
_EXAMPLE_HINT: Final = (
    "say what an input looks like: servd deploy … --example '{}' (or fix the function: "
    "it gets a list of inputs and returns a list of as many outputs)"
)
_TABLE_HINT: Final = (
    "say what an input looks like: servd deploy … --example '{}' (or fix the function: "
    "it gets one table with a row for each input and returns as many outputs)"
)
_EACH_HINT: Final = "say what an input looks like: servd deploy … --example '{}'"
_OF_UNKNOWN: Final[tuple[Any, ...]] = (1.0, "some text", [1.0, 2.0], {})
_OTHER_TYPES: Final = ("strings", "doubles", "any")
_SHOWN_EXAMPLES: Final = {
    protocol.STRINGS: '"some text"',
    protocol.BYTES: '"aGVsbG8="',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How the test call went; STATE tells it (docs/protocol.md).

    `state` is `ok` (a call returned), `unproven` (the model raised on every guess, which proves
    nothing) or `skipped`. `input` is what it answered, as a JSON value of the query API, where it
    is short, `output` the same of what it returned; `varies`: asked the same twice it returned
    something else. `origin` is `example` (the deployer's), `signature` (made up by what the model
    says that it takes) or `guess`. `call_ms` is the shortest call's time. `tried` is what it raised
    on, cut short, `reasons` say what it raised, `hint` what helps. `more` says of what is told how
    long it is: `input_bytes` of bytes and of what is not told itself, with their `media` where that
    is known; `output_bytes` of an output that is not told; `is_stream` that it is an item;
    `several_ms` is what one call with `several` inputs took.
    """

    state: str
    has_input: bool = False
    input: Any = None
    has_output: bool = False
    output: Any = None
    varies: bool = False
    origin: str = ""
    call_ms: float | None = None
    tried: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    hint: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    def as_info(self) -> dict[str, Any]:
        """Return it as STATE's info carries it: without what there is none of."""
        told = {
            "state": self.state,
            "origin": self.origin,
            "call_ms": self.call_ms,
            "hint": self.hint,
            "tried": list(self.tried),
            "reasons": list(self.reasons),
        }
        info = {key: value for key, value in told.items() if value not in (None, "", [])}
        info |= self.more
        if self.has_input:
            info["input"] = self.input
        if self.has_output:
            info["output"] = self.output
        if self.varies:
            info["varies"] = True
        return info

    def completed(self, signature: Signature) -> Signature:
        """Return a signature with what the model has answered as its example."""
        if self.state != "ok":
            return signature
        if self.has_output:
            signature = replace(signature, output=narrowed(signature.output, self.output))
        if not self.has_input:
            return signature
        return replace(signature, has_example=True, example=self.input)


class TestCallError(ModelFault):
    """The model did not answer its test call as it must."""

    __test__ = False  # its name is not a test's


def test_call(
    model: LoadedModel,
    manifest: Manifest,
    max_batch: int,
    clock: Callable[[], float] = time.monotonic,  # noqa: PT028  (not a test)
) -> Report:
    """Call the model with one input, then with two unless it takes only one at a time, and again.

    Raises:
        TestCallError: it raised on every input tried, or returned a wrong thing.
    """
    if manifest.skip_test:
        return Report(state="skipped")
    tester = _Tester(model, max_batch, clock)
    code = protocol.INPUT_TYPE_CODES[model.input_type]
    if manifest.example is not None:
        return tester.final(named(manifest.example, model.signature), origin=_EXAMPLE)
    if code in protocol.STRUCT_FORMATS and model.row_items is not None:
        if model.signature is not None and model.signature.fields:
            return tester.final(by_fields(model.signature))
        return tester.final(ones(model.row_items, code))
    if code == protocol.ROWS and model.signature is not None:
        return _of_fields(tester, model.signature)
    return _guessed(tester, code, clock)


test_call.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _guessed(tester: _Tester, code: int, clock: Callable[[], float]) -> Report:
    """Call the model with inputs of which nothing but the type is known."""
    is_numeric = code in protocol.STRUCT_FORMATS
    probes = numeric_probes(code, lambda: tester.error, clock) if is_numeric else None
    for value in probes or guesses_of(code, tester.signature):
        if tester.passes(value):
            return tester.report(value, _GUESS)
    # Guesses prove nothing against a model of these: its input may be of any shape.
    if code in (protocol.ANY, protocol.TENSORS):
        return tester.unproven()
    shown = _SHOWN_EXAMPLES.get(code, "[1, 2]" if code == protocol.INTEGERS else "[1.0, 2.0]")
    raise tester.fault(f"{tester.example_hint(shown)}; it raised on {tester.tried()}")


def _of_fields(tester: _Tester, signature: Signature) -> Report:
    """Call the model with an input that is made up by its fields; what may be any is guessed."""
    fields = signature.fields or {}
    unknown = [name for name, schema in fields.items() if not schema]
    if not unknown:
        value = example_of(signature)
        return tester.final(value, tester.example_hint(json.dumps(value, ensure_ascii=False)))
    for guess in _OF_UNKNOWN:
        made = {name: {"const": guess} if name in unknown else fields[name] for name in fields}
        value = example_of(replace(signature, fields=made, value=None))
        if tester.passes(value):
            return tester.report(value, _GUESS)
    return tester.unproven()


class _Tester:
    """Calls one model and remembers what it raised last, and each kind of it."""

    def __init__(self, model: LoadedModel, max_batch: int, clock: Callable[[], float]) -> None:
        self._model = model
        self._copies = (1,) if max_batch == 1 else (1, 2)
        self._clock = clock
        self._call_s: float | None = None
        self._several_s: float | None = None
        self._outputs: list[bytes] = []
        self._reasons: dict[str, None] = {}
        self._tried: list[str] = []
        self.error: BaseException | None = None

    @property
    def signature(self) -> Signature | None:
        """What the model says of its inputs."""
        return self._model.signature

    def example_hint(self, shown: str) -> str:
        """Return what to do about a model that answers nothing that was made up."""
        if len(shown) > _MAX_EXAMPLE_SIGNS:
            shown = f"{shown[:_MAX_EXAMPLE_SIGNS]}…"
        if self.signature is not None and self.signature.call == EACH:
            return _EACH_HINT.format(shown)
        return (_TABLE_HINT if self._is_table else _EXAMPLE_HINT).format(shown)

    @property
    def _is_table(self) -> bool:
        """Whether the model is called with one table, and not with a list of inputs."""
        return self._model.input_type == "rows" and isinstance(self._model.predictor, CallPredictor)

    def final(self, value: Any, hint: str = "", origin: str = _SIGNATURE) -> Report:
        """Call with an input that must work."""
        if not self.passes(value):
            raise self.fault(hint, value)
        return self.report(value, origin)

    def report(self, value: Any, origin: str) -> Report:
        """Return the report of a call that returned."""
        shown = base64.b64encode(value).decode() if isinstance(value, bytes) else value
        is_short = len(json.dumps(shown)) <= _MAX_SHOWN_INPUT
        first = self._outputs[0] if self._outputs else b""
        has_output = 0 < len(first) <= _MAX_SHOWN_INPUT
        more = self._input_size(shown, is_short=is_short)
        if first and not has_output:
            more["output_bytes"] = len(first)
        if self.signature is not None and self.signature.is_stream:
            more["is_stream"] = True
        if self._several_s is not None:
            more["several"] = SEVERAL
            more["several_ms"] = round(self._several_s * 1000, 1)
        return Report(
            state="ok",
            has_input=is_short,
            input=shown if is_short else None,
            has_output=has_output,
            output=json.loads(first) if has_output else None,
            varies=len(set(self._outputs)) > 1,
            origin=origin,
            more=more,
            call_ms=None if self._call_s is None else round(self._call_s * 1000, 1),
        )

    def _input_size(self, shown: Any, *, is_short: bool) -> dict[str, Any]:
        """Return how long an input is that is bytes, or too long to be told."""
        if self._model.input_type == "bytes" and isinstance(shown, str):
            schema = self.signature and self.signature.value
            media = schema and schema.get("contentMediaType")
            size = {"input_bytes": len(base64.b64decode(shown))}
            return size | ({"media": media} if media else {})
        return {} if is_short else {"input_bytes": len(json.dumps(shown))}

    def tried(self) -> str:
        """Return what it raised on, in words."""
        more = f", … ({len(self._tried)} in all)" if len(self._tried) > _MAX_TRIED else ""
        return ", ".join(self._tried[:_MAX_TRIED]) + more

    def unproven(self) -> Report:
        """Return the report where the model raised on every guess."""
        return Report(
            state="unproven",
            tried=tuple(self._tried[:_MAX_TRIED]),
            reasons=tuple(list(self._reasons)[-_MAX_REASONS:]),
            hint=self._advice(),
        )

    def passes(self, value: Any) -> bool:
        """Tell whether the model answers an input; a wrong answer is an error at once."""
        try:
            self._outputs.clear()
            for copies in self._copies:
                self._call(value, copies)
            if (self._call_s or 0) < _MAX_REPEATED_S:
                self._call(value, 1)
            self._time_several(value)
        except OutputError as error:
            raise TestCallError(f"test call: {error}", hint=self._output_hint(error)) from error
        except TestCallError:
            raise
        except MODEL_ERRORS as raised:  # the task boundary: anything a model raises
            forks.leave_if_child()
            self.error = cause_of(raised)
            self._reasons[failure.message_of(self.error)] = None
            self._tried.append(_cut(value))
            return False
        return True

    def _time_several(self, value: Any) -> None:
        """Find out what one call with some inputs takes, where batches are worth a thought.

        Many take as long for one input as for some: whose first batches need not be small.
        """
        signature, call_s = self.signature, self._call_s or 0.0
        is_each = signature is not None and (signature.call == EACH or signature.is_stream)
        if is_each or len(self._copies) == 1 or not _SEVERAL_FROM_S <= call_s <= _SEVERAL_TO_S:
            return
        batch = inputs.pack([value] * SEVERAL, self._model.input_type, signature)
        began_s = self._clock()
        self._model.predictor.predict(batch)
        forks.leave_if_child()
        self._several_s = self._clock() - began_s

    def _call(self, value: Any, copies: int) -> None:
        """Call the model with copies of one input."""
        try:
            batch = inputs.pack([value] * copies, self._model.input_type, self._model.signature)
        except ValueError as error:
            hint = self._type_hint([value]) or self._given_hint()
            raise TestCallError(f"the example does not fit: {error}", hint=hint) from error
        began_s = self._clock()
        outputs = self._model.predictor.predict(batch)
        forks.leave_if_child()
        took_s = self._clock() - began_s
        if copies == 1 and isinstance(outputs[0], bytes):
            self._outputs.append(outputs[0])
        # What is made at the first call, and a second input, are no part of what a call takes.
        self._call_s = took_s if self._call_s is None else min(self._call_s, took_s)

    def fault(self, hint: str, example: Any = None) -> TestCallError:
        """Return what the model raised last as the failure of the test call."""
        error = self.error or RuntimeError("no input was tried")
        if isinstance(error, InputError):
            message = f"test call: the model does not take the input that was tried: {error}"
            return TestCallError(message, hint=hint or self._given_hint())
        where = self._model.bundle_dir
        known = failure.hint_for(error, where)
        is_elsewhere = isinstance(error, (ImportError, OSError, MemoryError, SystemExit))
        if not (known and is_elsewhere):
            known = self._advice(example) or known
        return TestCallError(
            f"test call: {failure.message_of(error)}",
            failure.traceback_of(error, where),
            known or hint,
        )

    def _given_hint(self) -> str:
        """Return an example like the one that would fit, in place of one that was given."""
        signature = self.signature
        if signature is None or (signature.fields is None and not signature.value):
            return ""
        shown = json.dumps(example_of(signature))
        return f"such as: --example '{shown}'" if len(shown) <= _MAX_SHOWN_INPUT else ""

    def _output_hint(self, error: OutputError) -> str:
        """Return the example of a right function, where the model returned no right list."""
        if "must return a list" not in str(error):
            return ""
        if self._is_table:
            return (
                "it gets one table with a row for each input, and going through that yields its "
                "columns' names; for example: def predict(table): return list(table.sum(axis=1))"
            )
        return "for example: def predict(inputs): return [sum(x) for x in inputs]"

    def _advice(self, example: Any = None) -> str:
        """Return what helps a model that does not answer: another input type."""
        return self._type_hint([] if example is None else [example]) or self._model.hint

    def _type_hint(self, examples: list[Any]) -> str:
        """Return which other input type the model answers, where one is found by trying."""
        for name in _OTHER_TYPES:
            if name == self._model.input_type or self._model.retyped is None:
                continue
            predictor = self._model.retyped(name)
            for value in examples or other_guesses(name, self._model.row_items):
                if _answers(predictor, name, value):
                    shown = json.dumps(value, ensure_ascii=False)
                    return (
                        f"it answers {name}: deploy it with --input-type {name} (it answered "
                        f"{shown if len(shown) < 80 else 'that example'})"
                    )
        return ""


def _answers(predictor: Predictor, input_type: str, value: Any) -> bool:
    """Tell whether the model as it would be with another input type answers an input."""
    try:
        predictor.predict(inputs.pack([value], input_type))
    except MODEL_ERRORS:
        forks.leave_if_child()
        return False
    forks.leave_if_child()
    return True


def _cut(value: Any) -> str:
    """Return an input that was tried as it is told among others."""
    text = (
        f"{len(value)} bytes" if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False)
    )
    return text if len(text) <= _MAX_TRIED_SIGNS else f"{text[:_MAX_TRIED_SIGNS]}…"
