"""Predictors of functions: called once an input inside the batch, or with a list of what was made.

An input that fails does so by itself: the others are answered and not called again
(PartlyFailedError).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from model_runtime import forks, protocol
from model_runtime.annotations.arguments import Arguments
from model_runtime.failure import MODEL_ERRORS
from model_runtime.inputs import Batch, View
from model_runtime.older import zip
from model_runtime.outputs import OutputError, render
from model_runtime.raw_outputs import RawOutput, render_wanted
from model_runtime.refusals import Failed, InputError, PartlyFailedError, UnfitRowsError

if TYPE_CHECKING:
    from model_runtime.async_calls import AsyncCalls

Outcome = Any
"""What came of one input: its output, or a Failed."""


class EachPredictor:
    """A model that is called with one input at a time; a batch's inputs at once if it is async."""

    def __init__(
        self,
        call: Callable[..., Any],
        view: View,
        arguments: Arguments,
        loop: AsyncCalls | None = None,
    ) -> None:
        self._call = call
        self._view = view
        self._arguments = arguments
        self._loop = loop

    def predict(self, batch: Batch) -> Sequence[bytes | RawOutput]:
        """See Predictor.

        Raises:
            PartlyFailedError: some of the inputs failed.
            Exception: the one input of the batch did; that is what it raised.
        """
        try:
            values = self._view(batch)
        except UnfitRowsError as error:
            raise apart(self.predict, batch, error) from error
        if self._loop is None:
            return rendered([self._outcome(value) for value in values], batch)
        made = [_tried(self._arguments, value) for value in values]
        good = [each for each in made if type(each) is not Failed]
        answered = iter(self._loop.wait_for_each(self._call, good))
        forks.leave_if_child()
        outcomes = [each if type(each) is Failed else next(answered) for each in made]
        return rendered(outcomes, batch)

    def _outcome(self, value: Any) -> Outcome:
        try:
            positional, named = self._arguments(value)
            outcome = self._call(*positional, **named)
        except MODEL_ERRORS as error:  # the boundary of an input
            forks.leave_if_child()
            return Failed(error)
        forks.leave_if_child()
        return outcome


class ListPredictor:
    """A model that is called with a list, of which each item is made of an input."""

    def __init__(self, call: Callable[[Any], Any], view: View, make: Callable[[Any], Any]) -> None:
        self._call = call
        self._view = view
        self._make = make

    def predict(self, batch: Batch) -> Sequence[bytes | RawOutput]:
        """See EachPredictor: what cannot be made is a failure of that input alone."""
        try:
            made = [_tried(self._make, value) for value in self._view(batch)]
        except UnfitRowsError as error:
            raise apart(self.predict, batch, error) from error
        good = [each for each in made if type(each) is not Failed]
        if len(good) == len(made):
            outputs = self._call(good)
            if batch.wanted:
                return render_wanted(outputs, batch.count, batch.wanted)
            return render(outputs, batch.count)
        answered = iter(render(self._call(good), len(good)) if good else ())
        raise _failure([each if type(each) is Failed else next(answered) for each in made])


def apart(
    predict: Callable[[Batch], Sequence[bytes | RawOutput]], batch: Batch, unfit: UnfitRowsError
) -> BaseException:
    """Return what is raised for a batch of which not all rows fit: the others are predicted.

    Those that do not fit together are predicted each by itself.
    """
    if batch.count == 1:
        return unfit.errors.get(0, unfit)
    rows = protocol.split_rows(batch.lengths, batch.data, batch.count)
    fit = [at for at in range(batch.count) if at not in unfit.errors]
    outcomes: list[Any] = [unfit.errors.get(at) for at in range(batch.count)]
    for group in filter(None, [fit] if unfit.errors else [[at] for at in fit]):
        lengths, data = protocol.join_rows([rows[at] for at in group])
        part = Batch(batch.input_type, lengths, data, len(group))
        try:
            outputs: Sequence[Any] = predict(part)
        except PartlyFailedError as error:
            outputs = error.outcomes
        except MODEL_ERRORS as error:  # the boundary of an input
            forks.leave_if_child()
            if len(group) > 1:
                return error
            outputs = [Failed(error)]
        for at, output in zip(group, outputs, strict=True):
            outcomes[at] = output
    return PartlyFailedError(
        [Failed(each) if isinstance(each, InputError) else each for each in outcomes]
    )


def _tried(make: Callable[[Any], Any], value: Any) -> Any:
    try:
        return make(value)
    except InputError as error:
        return Failed(error)


def rendered(outcomes: list[Outcome], batch: Batch) -> Sequence[bytes | RawOutput]:
    """Return the outputs as texts, or raw where they are wanted so.

    Raises:
        PartlyFailedError, Exception: see EachPredictor.
    """
    if Failed not in map(type, outcomes):
        try:
            if batch.wanted:
                return render_wanted(outcomes, batch.count, batch.wanted)
            return render(outcomes, batch.count)
        except OutputError:
            if batch.count == 1:
                raise
    raise _failure([_text(each) for each in outcomes])


def _text(outcome: Outcome) -> bytes | Failed:
    """Return the text of one output; a Failed where it has none."""
    if type(outcome) is Failed:
        return outcome
    try:
        return render([outcome], 1)[0]
    except OutputError as error:
        return Failed(error)


def rendered_texts(outcomes: list[bytes | Failed]) -> list[bytes]:
    """Return the texts of outputs that are texts already.

    Raises:
        PartlyFailedError, Exception: see EachPredictor.
    """
    texts = [each for each in outcomes if isinstance(each, bytes)]
    if len(texts) < len(outcomes):
        raise _failure(outcomes)
    return texts


def _failure(outcomes: list[bytes | Failed]) -> BaseException:
    """Return what is raised for inputs of which some failed."""
    if len(outcomes) == 1 and isinstance(outcomes[0], Failed):
        return outcomes[0].error
    return PartlyFailedError(outcomes)
