"""The model that a function or a method is: how it is called, and with what. Used by loaders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from model_runtime import rows
from model_runtime.annotations import callables, overrides
from model_runtime.annotations.callables import Callee
from model_runtime.calling import EachPredictor, ListPredictor
from model_runtime.frames import PANDAS, frame_view
from model_runtime.inputs import Batch, View, viewer
from model_runtime.loaders.base import (
    PLACES,
    CallPredictor,
    LoadedModel,
    LoadError,
    Predictor,
    Streaming,
    called,
)
from model_runtime.manifest import AUTO, Manifest
from model_runtime.signature import EACH, SignatureError, check

if TYPE_CHECKING:
    from model_runtime.async_calls import AsyncCalls


def model_of(
    call: Callable[..., Any], manifest: Manifest, info: dict[str, Any], *, is_method: bool = False
) -> LoadedModel:
    """Return the model that is one function or method, with inputs as it and its deployer say.

    Raises:
        UnclearError, LoadError: no input can be made into its arguments.
    """
    name = manifest.object or manifest.file
    is_open = manifest.input_type == AUTO
    as_call = None if is_open else manifest.call
    callee = callables.read(call, name, is_method=is_method, as_call=as_call)
    given = None if is_open else manifest.input_type
    callee = overrides.settled(callee, name, given, manifest.schema, manifest.extra)
    callee = overrides.with_columns(callee, manifest.example)
    if not is_open:
        callee = replace(callee, as_lists=manifest.as_lists)
    _check_wanted(manifest, callee, name)
    try:
        check(callee.signature)
    except SignatureError as error:
        raise LoadError(f"'{name}': {error}") from error
    return _loaded(call, callee, manifest, info)


def _check_wanted(manifest: Manifest, callee: Callee, name: str) -> None:
    """Raise LoadError where the deployer wants of a function what it does not have."""
    if manifest.output is not None:
        raise LoadError(
            f"--output {manifest.output} is for fitted classifiers, "
            f"and '{name}' is a function or a method",
            hint="leave --output out",
        )
    if manifest.concurrency is not None and not callee.signature.is_stream:
        raise LoadError(
            f"--concurrency is how many streams a replica serves at once: '{name}' does not yield",
            hint="leave --concurrency out, or see --replicas",
        )


def _loaded(
    call: Callable[..., Any], callee: Callee, manifest: Manifest, info: dict[str, Any]
) -> LoadedModel:
    signature = callee.signature
    if signature.call == EACH or callee.item is not None:
        predictor = _each(call, callee) if signature.call == EACH else _list(call, callee)
        model = LoadedModel(predictor, signature.input_type, info=info, signature=signature)
        if signature.is_stream:
            model = replace(model, streaming=_streaming(call, callee, manifest))
        return model
    if signature.input_type == "rows":
        table = CallPredictor(_of_list(call, callee), _table(callee, manifest))
        return LoadedModel(table, signature.input_type, info=info, signature=signature)
    plain = replace(manifest, input_type=signature.input_type, as_lists=callee.as_lists)
    return replace(called(_of_list(call, callee), plain, info), signature=signature)


def _each(call: Callable[..., Any], callee: Callee, most: int | None = None) -> Predictor:
    if callee.arguments is None:
        raise LoadError("a function that is called with lists is not called with one input")
    if callee.signature.is_stream:
        call = _collected(call, most, is_async=callee.is_async)
    loop = _loop() if callee.is_async else None
    return EachPredictor(call, view_of(callee), callee.arguments, loop)


def _streaming(call: Callable[..., Any], callee: Callee, manifest: Manifest) -> Streaming:
    """Return how a generator function is streamed."""
    view, arguments = view_of(callee), callee.arguments
    if arguments is None:
        raise LoadError("a function that is called with lists is not called with one input")

    def opens(batch: Batch) -> Any:
        positional, named = arguments(view(batch)[0])
        return call(*positional, **named)

    places = manifest.concurrency or PLACES
    return Streaming(opens, callee.is_async, places, first=_each(call, callee, most=1))


def _list(call: Callable[..., Any], callee: Callee) -> Predictor:
    make = callee.item
    if make is None:
        raise LoadError("nothing makes the items of the list")
    return ListPredictor(_of_list(call, callee), view_of(callee), make)


def view_of(callee: Callee) -> View:
    """Return the view of a batch whose inputs are taken one by one."""
    if callee.signature.input_type == "rows":
        return _rows
    return viewer(callee.signature.input_type, as_lists=callee.as_lists)


def _table(callee: Callee, manifest: Manifest) -> View:
    """Return the view of a batch as one DataFrame: the function's, or else pandas'."""
    name = manifest.object or manifest.file
    library = callee.frame or PANDAS
    if callee.signature.fields is None:
        raise overrides.without_columns(name)
    try:
        return frame_view(callee.signature, library)
    except ModuleNotFoundError as error:
        raise LoadError(
            f"'{name}' takes rows as a DataFrame, and {library} is not installed",
            hint=f"pip install {library}",
        ) from error


def _rows(batch: Batch) -> list[list[Any]]:
    return rows.parsed(batch.lengths, batch.data, batch.count)


def _of_list(call: Callable[..., Any], callee: Callee) -> Callable[[Any], Any]:
    """Return a call with one argument; Seldon's classes get names=[] and meta={} if they must."""
    extras: tuple[Any, ...] = ([], {})[: callee.extras]
    if callee.is_async:
        wait = _loop().wait
        return lambda inputs: wait(call(inputs, *extras))
    return (lambda inputs: call(inputs, *extras)) if extras else call


def _loop() -> AsyncCalls:
    from model_runtime.async_calls import the_loop  # noqa: PLC0415  (as it says)

    return the_loop()


def _collected(call: Callable[..., Any], most: int | None, *, is_async: bool) -> Callable[..., Any]:
    """Return a function that returns the list of what a generator function yields, or its head."""

    def collect(*positional: Any, **named: Any) -> list[Any]:
        items = call(*positional, **named)
        try:
            return [*islice(items, most)]
        finally:
            items.close()

    async def collect_async(*positional: Any, **named: Any) -> list[Any]:
        items = call(*positional, **named)
        found: list[Any] = []
        try:
            async for each in items:
                found.append(each)
                if len(found) == most:
                    break
        finally:
            await items.aclose()
        return found

    return collect_async if is_async else collect
