"""The test call: a freshly loaded model answers once before it gets queries. Called by loop.py.

With an example of its owner any failure is final. Without one the shape of an input is guessed:
a model that raises on a guess has proved nothing, one that returns a wrong thing has.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from model_runtime import failure, forks, inputs, protocol
from model_runtime.failure import MODEL_ERRORS, ModelFault
from model_runtime.loaders.base import LoadedModel
from model_runtime.manifest import Manifest
from model_runtime.outputs import OutputError

_PROBE_LENGTHS: Final = range(1, 65)
_MAX_NAMED_LENGTH: Final = 65_536
_MAX_NAMED: Final = 200
_BUDGET_S: Final = 1.0
_NUMBER: Final = re.compile(r"\d{1,6}")
_EXAMPLES: Final[dict[int, tuple[Any, ...]]] = {
    protocol.STRINGS: ("test", "", "1.0", "{}"),
    protocol.BYTES: (b"test", b""),
    protocol.ANY: ([1.0, 2.0, 3.0], 1.0, "test", {}, [[1.0, 2.0]], None),
}
_EXAMPLE_HINT: Final = (
    "say what an input looks like: servd deploy … --example '{}' (or fix the function: "
    "it gets a list of inputs and returns a list of as many outputs)"
)
_SHOWN_EXAMPLES: Final = {
    protocol.STRINGS: '"some text"',
    protocol.BYTES: '"aGVsbG8="',
}


class TestCallError(ModelFault):
    """The model did not answer its test call as it must."""

    __test__ = False  # its name is not a test's


def test_call(
    model: LoadedModel,
    manifest: Manifest,
    max_batch: int,
    clock: Callable[[], float] = time.monotonic,  # noqa: PT028  (not a test)
) -> None:
    """Call the model with one input, then with two unless it takes only one at a time.

    Raises:
        TestCallError: it raised on every input tried, or returned a wrong thing.
    """
    if manifest.skip_test:
        return
    tester = _Tester(model, max_batch)
    code = protocol.INPUT_TYPE_CODES[model.input_type]
    if manifest.example is not None:
        tester.final(manifest.example)
        return
    if code in protocol.STRUCT_FORMATS and model.row_items is not None:
        tester.final(_ones(model.row_items, code))
        return
    if code in protocol.STRUCT_FORMATS:
        probes = _numeric_probes(tester, code, clock)
    else:
        probes = iter(_EXAMPLES[code])
    is_passed = any(tester.passes(value) for value in probes)
    # Probes prove nothing against a model of `any`: its input may be of any shape.
    if not is_passed and code != protocol.ANY:
        shown = _SHOWN_EXAMPLES.get(code, "[1, 2]" if code == protocol.INTEGERS else "[1.0, 2.0]")
        raise tester.fault(_EXAMPLE_HINT.format(shown))


test_call.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


class _Tester:
    """Calls one model and remembers what it raised last."""

    def __init__(self, model: LoadedModel, max_batch: int) -> None:
        self._model = model
        self._copies = (1,) if max_batch == 1 else (1, 2)
        self.error: BaseException | None = None

    def final(self, value: Any) -> None:
        """Call with an input that must work."""
        if not self.passes(value):
            raise self.fault("")

    def passes(self, value: Any) -> bool:
        """Tell whether the model answers an input; a wrong answer is an error at once."""
        try:
            for copies in self._copies:
                self._call(value, copies)
        except OutputError as error:
            raise TestCallError(f"test call: {error}", hint=_output_hint(error)) from error
        except TestCallError:
            raise
        except MODEL_ERRORS as error:  # the task boundary: anything a model raises
            forks.leave_if_child()
            self.error = error
            return False
        return True

    def _call(self, value: Any, copies: int) -> None:
        """Call the model with copies of one input."""
        try:
            batch = inputs.pack([value] * copies, self._model.input_type)
        except ValueError as error:
            raise TestCallError(f"the example does not fit: {error}") from error
        self._model.predictor.predict(batch)
        forks.leave_if_child()

    def fault(self, hint: str) -> TestCallError:
        """Return what the model raised last as the failure of the test call."""
        error = self.error or RuntimeError("no input was tried")
        where = self._model.bundle_dir
        known = failure.hint_for(error, where)
        return TestCallError(
            f"test call: {failure.message_of(error)}",
            failure.traceback_of(error, where),
            known or hint,
        )


def _output_hint(error: OutputError) -> str:
    """Return the example of a right function, where the model returned no right list."""
    if "must return a list" in str(error):
        return "for example: def predict(inputs): return [sum(x) for x in inputs]"
    return ""


def _ones(length: int, code: int) -> list[float] | list[int]:
    """Return an input of that many ones."""
    return [1] * length if code == protocol.INTEGERS else [1.0] * length


def _numeric_probes(
    tester: _Tester, code: int, clock: Callable[[], float]
) -> Iterator[list[float] | list[int]]:
    """Give inputs of ones of growing length, and of the lengths the model's errors name first.

    Lengths that were named are always tried; the others as long as the time allows.
    """
    until = clock() + _BUDGET_S
    tried: set[int] = set()
    named: list[int] = []
    for length in _PROBE_LENGTHS:
        if length not in tried and (clock() < until or not tried):
            tried.add(length)
            yield _ones(length, code)
            named.extend(_named_lengths(tester.error))
        while named and len(tried) < _MAX_NAMED:
            wanted = named.pop(0)
            if wanted not in tried:
                tried.add(wanted)
                yield _ones(wanted, code)
                named.extend(_named_lengths(tester.error))


def _named_lengths(error: BaseException | None) -> Iterable[int]:
    """Return the whole numbers in an exception's message that could be a length."""
    if error is None:
        return []
    numbers = (int(text) for text in _NUMBER.findall(failure.message_of(error)))
    return [number for number in numbers if 0 < number <= _MAX_NAMED_LENGTH]
