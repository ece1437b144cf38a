"""The seam between loaders and the loop: what a loaded model is and how a batch is predicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Final, Protocol

from model_runtime.calling import apart
from model_runtime.failure import ModelFault
from model_runtime.inputs import Batch, View, viewer
from model_runtime.manifest import Manifest
from model_runtime.older import dataclass
from model_runtime.outputs import render
from model_runtime.raw_outputs import RawOutput, render_wanted
from model_runtime.refusals import UnfitRowsError
from model_runtime.signature import Signature


class LoadError(ModelFault):
    """The bundle's object cannot serve as a model; the message says why."""


class Predictor(Protocol):
    """A loaded model. Called by loop.py, one batch at a time."""

    def predict(self, batch: Batch) -> Sequence[bytes | RawOutput]:
        """Return one JSON text an input, without raw newlines; raw outputs where they are wanted.

        Raises:
            OutputError: the model returned something else than one JSON-able output an input.
            InputError, PartlyFailedError: not all inputs can be what it is called with.
            Exception: whatever the model raises.
        """


class CallPredictor:
    """A model that is one call: view the batch, call, render."""

    __slots__ = ("_call", "_view")

    def __init__(self, call: Callable[[Any], Any], view: View) -> None:
        self._call = call
        self._view = view

    def predict(self, batch: Batch) -> Sequence[bytes | RawOutput]:
        """See Predictor."""
        try:
            inputs = self._view(batch)
        except UnfitRowsError as error:
            raise apart(self.predict, batch, error) from error
        outputs = self._call(inputs)
        if batch.wanted:
            return render_wanted(outputs, batch.count, batch.wanted)
        return render(outputs, batch.count)


PLACES: Final = 256
"""Streams of a replica at once where the deployer did not say. Many, as a stream has its place for
as long as its caller reads, and whoever waits for a place gets no first item."""


@dataclass(frozen=True, slots=True)
class Streaming:
    """How a model that yields items is streamed.

    `opens` makes the generator that answers a batch of one input, an asynchronous one where it
    `is_async`; `places` is how many streams there may be at once, `first` the predictor that stops
    after the first item, for the test call.
    """

    opens: Callable[[Batch], Any]
    is_async: bool
    places: int
    first: Predictor


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What `load` gives the loop.

    `row_items` is how many numbers an input must have, None where any or unknown. `info` is what
    STATE tells about the model beyond that: `object`, the name of what answers. `bundle_dir` is
    where it was loaded from: failures name its files as their author knows them. `signature` is
    what it takes and gives, as far as that is known before the test call. `retyped` returns
    the predictor that it would be with inputs of another type, for advice only. `streaming` is how
    it is streamed, where it yields items.
    """

    predictor: Predictor
    input_type: str
    row_items: int | None = None
    info: dict[str, Any] = field(default_factory=dict)
    bundle_dir: Path | None = None
    signature: Signature | None = None
    retyped: Callable[[str], Predictor] | None = None
    hint: str = ""
    streaming: Streaming | None = None


@dataclass(frozen=True, slots=True)
class LoadedWeb:
    """What `load` gives the loop where a bundle is a web application, of a kind of web/kinds.py.

    It has no inputs and is not called: it is run. `places` is how many requests it has at once,
    None where the deployer did not say.
    """

    app: Any
    kind: str
    places: int | None = None
    input_type: str = "any"
    bundle_dir: Path | None = None


def as_model(loaded: LoadedModel | LoadedWeb) -> LoadedModel:
    """Return what was loaded as the model that it is.

    Raises:
        LoadError: it is a web application.
    """
    if isinstance(loaded, LoadedWeb):
        raise LoadError(
            "a web application has no inputs that it could be called with",
            hint="servd deploy runs it; its framework has a client for tests",
        )
    return loaded


def called(
    call: Callable[[Any], Any],
    manifest: Manifest,
    info: dict[str, Any],
    row_items: int | None = None,
) -> LoadedModel:
    """Return the model that is one call, with inputs as its manifest says."""

    def retyped(input_type: str) -> CallPredictor:
        return CallPredictor(call, viewer(input_type, as_lists=manifest.as_lists))

    view = viewer(manifest.input_type, as_lists=manifest.as_lists, row_items=row_items)
    predictor = CallPredictor(call, view)
    return LoadedModel(predictor, manifest.input_type, row_items, info, retyped=retyped)
