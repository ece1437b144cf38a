"""The model that a function or a method is: how it is called, and with what. Used by loaders."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from model_runtime import rows
from model_runtime.annotations import callables, overrides
from model_runtime.annotations.callables import Callee
from model_runtime.calling import EachPredictor, ListPredictor
from model_runtime.frames import PANDAS, frame_view
from model_runtime.inputs import Batch, View, viewer
from model_runtime.loaders.base import CallPredictor, LoadedModel, LoadError, Predictor, called
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
    try:
        check(callee.signature)
    except SignatureError as error:
        raise LoadError(f"'{name}': {error}") from error
    return _loaded(call, callee, manifest, info)


def _loaded(
    call: Callable[..., Any], callee: Callee, manifest: Manifest, info: dict[str, Any]
) -> LoadedModel:
    signature = callee.signature
    if signature.call == EACH or callee.item is not None:
        predictor = _each(call, callee) if signature.call == EACH else _list(call, callee)
        return LoadedModel(predictor, signature.input_type, info=info, signature=signature)
    if signature.input_type == "rows":
        table = CallPredictor(_of_list(call, callee), _table(callee, manifest))
        return LoadedModel(table, signature.input_type, info=info, signature=signature)
    plain = replace(manifest, input_type=signature.input_type, as_lists=callee.as_lists)
    return replace(called(_of_list(call, callee), plain, info), signature=signature)


def _each(call: Callable[..., Any], callee: Callee) -> Predictor:
    if callee.arguments is None:
        raise LoadError("a function that is called with lists is not called with one input")
    if callee.signature.is_stream:
        call = _collected(call, is_async=callee.is_async)
    loop = _loop() if callee.is_async else None
    return EachPredictor(call, view_of(callee), callee.arguments, loop)


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


def _loop() -> "AsyncCalls":
    from model_runtime.async_calls import the_loop  # noqa: PLC0415  (as it says)

    return the_loop()


def _collected(call: Callable[..., Any], *, is_async: bool) -> Callable[..., Any]:
    """Return a function that returns the list of what a generator function yields."""
    if not is_async:
        return lambda *positional, **named: [*call(*positional, **named)]

    async def collect(*positional: Any, **named: Any) -> list[Any]:
        return [each async for each in call(*positional, **named)]

    return collect
