"""Loads a class of LitServe's (LitAPI), told by its methods, and calls them as LitServe does.

A request is decoded, batched where the class wants batches, predicted, cut again and encoded; one
that streams yields what it encodes. LitServe itself need not be installed (model_runtime/litserve).
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from model_runtime import forks
from model_runtime.calling import rendered
from model_runtime.contract import DEVICE_VARIABLE
from model_runtime.failure import MODEL_ERRORS
from model_runtime.inputs import Batch, viewer
from model_runtime.loaders.base import PLACES, LoadedModel, LoadError, Streaming
from model_runtime.manifest import Manifest
from model_runtime.outputs import OutputError
from model_runtime.raw_outputs import RawOutput
from model_runtime.refusals import Failed, InputError, fault
from model_runtime.signature import EACH, Signature

_LIBRARY: Final = "litserve"
_BASE: Final = "LitAPI"
_OWN: Final = ("decode_request", "encode_response", "batch", "unbatch")
"""Methods of which a class that is not derived from LitAPI has one, beside `setup`."""
_CONTEXT: Final = "context"


def is_api(target: Any) -> bool:
    """Tell whether an object is a LitAPI, or a class of them."""
    kind = target if isinstance(target, type) else type(target)
    if kind.__name__ == _BASE and _is_library(kind):
        return False
    if any(each.__name__ == _BASE and _is_library(each) for each in kind.__mro__):
        return True
    return callable(getattr(kind, "setup", None)) and any(
        callable(getattr(kind, name, None)) for name in _OWN
    )


def _is_library(kind: type) -> bool:
    parts = kind.__module__.split(".")
    return parts[0] == _LIBRARY or parts[:2] == ["model_runtime", _LIBRARY]


def check(target: Any, name: str) -> None:
    """Raise LoadError where a LitAPI cannot be called."""
    kind = target if isinstance(target, type) else type(target)
    owner = next((each for each in kind.__mro__ if "predict" in vars(each)), None)
    if owner is None or _is_library(owner):
        raise LoadError(
            f"'{name}' is a LitAPI without predict",
            hint="def predict(self, x): … returns what is answered to what decode_request gave",
        )


def load(target: Any, manifest: Manifest, name: str) -> LoadedModel:
    """Return the model that a LitAPI is, made with its deployer's parameters. Called by python.py.

    `target` is the instance.
    """
    check(target, name)
    prepare(target)
    api = _Api(target)
    streams = bool(getattr(target, "stream", False)) or _yields(target.predict)
    signature = Signature(input_type="any", value=manifest.schema, call=EACH, is_stream=streams)
    info = {"object": name}
    if not streams:
        return LoadedModel(_Predictor(api), "any", info=info, signature=signature)
    streaming = Streaming(
        api.opens_async if api.is_async else api.opens,
        is_async=api.is_async,
        places=manifest.concurrency or PLACES,
        first=_Collected(api, most=1),
    )
    return LoadedModel(_Collected(api), "any", info=info, signature=signature, streaming=streaming)


def prepare(target: Any) -> None:
    """Set a LitAPI up, as LitServe's workers do."""
    device = os.environ.get(DEVICE_VARIABLE) or "cpu"
    if callable(getattr(target, "pre_setup", None)):
        target.pre_setup(None)
    if hasattr(type(target), "device"):
        target.device = device
    prepared = target.setup(device) if callable(getattr(target, "setup", None)) else None
    if inspect.isawaitable(prepared):
        _wait(prepared)


def _wait(awaitable: Any) -> Any:
    from model_runtime.async_calls import the_loop  # noqa: PLC0415  (asyncio takes its time)

    return the_loop().wait(awaitable)


def _settled(value: Any) -> Any:
    """Return what a method returned, awaited where it must be."""
    return _wait(value) if inspect.isawaitable(value) else value


def _yields(method: Any) -> bool:
    return inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method)


class _Api:
    """The methods of a LitAPI, those that it lacks as LitServe has them."""

    def __init__(self, target: Any) -> None:
        self.predict = _method(target, "predict", None)
        self.decode = _method(target, "decode_request", lambda request: request)
        self.encode = _method(target, "encode_response", lambda output: output)
        self.batch = _method(target, "batch", list)
        self.unbatch = _method(target, "unbatch", list)
        self.most = int(getattr(target, "max_batch_size", 1) or 1)
        self.is_async = inspect.isasyncgenfunction(target.predict)
        self._model = _model_of(getattr(target, "decode_request", None))

    def decoded(self, value: Any, context: dict[str, Any]) -> Any:
        """Return what `predict` is called with for one request.

        Raises:
            InputError: the class of the request, or the API itself, refuses it.
        """
        try:
            request = value if self._model is None else self._model.model_validate(value)
            return _settled(self.decode(request, context))
        except MODEL_ERRORS as error:
            refusal = _refusal(error)
            if refusal is None:
                raise
            raise refusal from error

    def items(self, batch: Batch) -> Any:
        """Return what is yielded for the one input of a batch, encoded."""
        (value,) = _any(batch)
        context: dict[str, Any] = {}
        output = self.predict(self.decoded(value, context), context)
        return self.encode(output, context)

    def opens(self, batch: Batch) -> Iterator[Any]:
        """Yield the items of a stream."""
        yield from _iterated(self.items(batch))

    async def opens_async(self, batch: Batch) -> AsyncIterator[Any]:
        """Yield the items of an asynchronous stream."""
        items = self.items(batch)
        if hasattr(items, "__aiter__"):
            async for item in items:
                yield item
        else:
            for item in _iterated(items):
                yield item


def _iterated(items: Any) -> Iterable[Any]:
    if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Iterable):
        raise OutputError(
            f"a LitAPI that streams yields what it answers, and this gave a {type(items).__name__}"
        )
    return items


def _method(target: Any, name: str, usual: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return a method that is called with a context as well, which it gets where it names it."""
    found = getattr(target, name, None) or usual
    if found is None:
        raise LoadError(f"it has no method '{name}'")
    try:
        takes_context = _CONTEXT in inspect.signature(found).parameters
    except (TypeError, ValueError):
        takes_context = False
    if takes_context:
        return lambda value, context: found(value, context=context)
    return lambda value, _context: found(value)


def _model_of(decode: Any) -> Any:
    """Return the class that a request is made of, where decode_request is annotated with one."""
    try:
        parameters = list(inspect.signature(decode).parameters.values())
    except (TypeError, ValueError):
        return None
    annotation = parameters[0].annotation if parameters else None
    return annotation if callable(getattr(annotation, "model_validate", None)) else None


def _refusal(error: BaseException) -> InputError | None:
    """Return what is said of a request that is refused; None of a failure of the model's own."""
    if isinstance(error, InputError):
        return error
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status < 500:
        return fault(str(getattr(error, "detail", error)), "value_error")
    if type(error).__name__ == "ValidationError" and callable(getattr(error, "errors", None)):
        told = [
            {"loc": list(each["loc"]), "msg": each["msg"], "type": each["type"]}
            for each in error.errors()  # type: ignore[attr-defined]
        ]
        return InputError(told)
    return None


_any: Final = viewer("any", as_lists=True)


class _Predictor:
    """A LitAPI that returns what it answers."""

    def __init__(self, api: _Api) -> None:
        self._api = api

    def predict(self, batch: Batch) -> Sequence[bytes | RawOutput]:
        """See Predictor in base.py; what cannot be decoded is a failure of that input alone."""
        values = _any(batch)
        if self._api.most == 1:
            return rendered([self._outcome(value) for value in values], batch)
        contexts: list[dict[str, Any]] = [{} for _ in values]
        decoded = [self._decoded(value, contexts[at]) for at, value in enumerate(values)]
        good = [at for at, each in enumerate(decoded) if type(each) is not Failed]
        outcomes = list(decoded)
        for begin in range(0, len(good), self._api.most):
            places = good[begin : begin + self._api.most]
            answers = self._together(
                [decoded[at] for at in places], [contexts[at] for at in places]
            )
            for at, answer in zip(places, answers):
                outcomes[at] = answer
        return rendered(outcomes, batch)

    def _decoded(self, value: Any, context: dict[str, Any]) -> Any:
        try:
            return self._api.decoded(value, context)
        except MODEL_ERRORS as error:  # the boundary of an input
            forks.leave_if_child()
            return Failed(error)

    def _outcome(self, value: Any) -> Any:
        context: dict[str, Any] = {}
        try:
            made = self._api.decoded(value, context)
            output = _settled(self._api.predict(made, context))
            outcome = _plain(_settled(self._api.encode(output, context)))
        except MODEL_ERRORS as error:  # the boundary of an input
            forks.leave_if_child()
            return Failed(error)
        forks.leave_if_child()
        return outcome

    def _together(self, made: list[Any], contexts: list[dict[str, Any]]) -> list[Any]:
        """Return the answers to inputs that are predicted as one."""
        api = self._api
        output = _settled(api.predict(api.batch(made, contexts), contexts))
        forks.leave_if_child()
        outputs = list(api.unbatch(output, contexts))
        if len(outputs) != len(made):
            raise OutputError(
                f"predict gave {len(outputs)} outputs for a batch of {len(made)}: it must give one "
                "for each input, as max_batch_size is above 1"
            )
        return [_plain(_settled(api.encode(each, contexts[at]))) for at, each in enumerate(outputs)]


class _Collected:
    """A LitAPI that streams, of which all items are answered at once, or the first ones."""

    def __init__(self, api: _Api, most: int | None = None) -> None:
        self._api = api
        self._most = most

    def predict(self, batch: Batch) -> Sequence[bytes | RawOutput]:
        """See Predictor in base.py."""
        parts = [
            Batch(batch.input_type, b"", each, 1) for each in viewer("bytes", as_lists=True)(batch)
        ]
        return rendered([self._outcome(part) for part in parts], batch)

    def _outcome(self, part: Batch) -> Any:
        try:
            if self._api.is_async:
                return _wait(self._gathered(part))
            return [_plain(each) for each in islice(self._api.opens(part), self._most)]
        except MODEL_ERRORS as error:  # the boundary of an input
            forks.leave_if_child()
            return Failed(error)

    async def _gathered(self, part: Batch) -> list[Any]:
        found: list[Any] = []
        async for each in self._api.opens_async(part):
            found.append(_plain(each))
            if len(found) == self._most:
                break
        return found


def _plain(value: Any) -> Any:
    """Return an answer as JSON has it: of a pydantic model, what it writes of itself."""
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) and not isinstance(value, type) else value
