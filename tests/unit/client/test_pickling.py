"""Writing objects of a running program: what they need, and what is in the way."""

import functools
import io
import pickle
import socket
import sys
import threading
import types

import cloudpickle
import pytest

from servd.client import pickling
from servd.errors import TargetError


class Inner:
    """Holds what it is given."""

    def __init__(self, held):
        self.lock = held
        self.fine = [1, 2]


class Slotted:
    """Keeps its attributes without a dict."""

    __slots__ = ("held",)

    def __init__(self, held):
        self.held = held


class OnGpu:
    """Says of itself what a tensor on a GPU says."""

    is_cuda = True


class Refusing:
    """Cannot be written, and says so when it is."""

    def __reduce_ex__(self, protocol):
        raise RuntimeError(f"no protocol {protocol} for this")


class Model:
    """A model with something in it."""

    def __init__(self, held):
        self.model = Inner(held)
        self.doubled = functools.partial(max, 1)

    def predict(self, xs):
        """Answer ones."""
        return [1 for _ in xs]

    def closure(self):
        """Return a function that closes over this."""
        return lambda xs: [self.model for _ in xs]


def yields():
    """Yield once."""
    yield 1


def refusal(target):
    """Return what is said of an object that cannot be written."""
    with pytest.raises(TargetError) as told:
        pickling.write(target, io.BytesIO(), "it")
    return told.value


def closed_over(value):
    """Return a function that closes over a value."""
    return lambda xs: [value for _ in xs]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (threading.Lock, "a lock (_thread.lock)"),
        (threading.RLock, "a lock (_thread.RLock)"),
        (socket.socket, "a socket (socket.socket)"),
        (yields, "a generator (generator)"),
        (OnGpu, "a tensor on a GPU"),
        (Refusing, "Refusing"),
        (threading.local, "what threads have of their own"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_what_cannot_be_written_is_named_with_the_path_to_it(make, what):
    """Whatever it is, and however it is held: by a model, its method, a function that has it."""
    held = make()
    model = Model(held)
    for target in (model, model.predict, model.closure()):
        error = refusal(target)
        assert "`self.model.lock`" in error.message
        assert what in error.message
        assert error.hint
    assert "`value`" in refusal(closed_over(held)).message
    if isinstance(held, socket.socket):
        held.close()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, threading.Lock()]}, "value['a'][1]"),
        ((1, {2: threading.Lock()}), "value[1][2]"),
        (Slotted(threading.Lock()), "value.held"),
        (functools.partial(max, threading.Lock()), "value.args[0]"),
        (types.SimpleNamespace(a=Inner(threading.Lock())), "value.a.lock"),
    ],
    ids=["in a list", "in a tuple", "in a slot", "in a partial", "in a namespace"],
)
def test_the_path_is_as_code_would_have_it(value, path):
    """Through dicts, lists, slots and partials."""
    assert f"`{path}`" in refusal(closed_over(value)).message


LOCK = threading.Lock()


def test_globals_and_defaults_are_named_too():
    """A function takes along what it uses of its module."""

    def uses(xs):
        return [LOCK for _ in xs]

    def by_default(xs, guard=LOCK):
        return [guard for _ in xs]

    assert "`LOCK`" in refusal(uses).message
    assert "`guard`" in refusal(by_default).message


def test_a_circle_is_no_trap():
    """What holds itself is looked at once."""
    model = Model(threading.Lock())
    vars(model)["itself"] = model
    assert "`self.model.lock`" in refusal(model).message


def test_a_name_that_is_nowhere_is_said_with_the_nearest():
    """Of a lambda, and of a function whose variable has no value yet; not of what Python has."""
    scaled = {}
    exec("scale = 2\nf = lambda xs: [scal * len(xs)]", scaled)
    function = scaled["f"]
    needed = pickling.write(function, io.BytesIO(), "it")
    with pytest.raises(TargetError, match=r"the lambda .* uses `scal`, which is not there") as told:
        pickling.check_names(function, needed)
    assert told.value.hint == "did you mean scale?"

    def early(xs):
        return [len(xs), late]

    needed = pickling.write(early, io.BytesIO(), "it")
    with pytest.raises(TargetError, match=r"'early' .* uses `late`"):
        pickling.check_names(early, needed)
    late = 1


def test_the_own_module_is_written_with_it_and_others_are_named():
    """So a function of a test or a script answers where there is no such module."""
    file = io.BytesIO()
    needed = pickling.write(Model(3), file, "it")
    assert __name__ not in needed.modules
    assert __name__ not in cloudpickle.list_registry_pickle_by_value()
    own = sys.modules[__name__]
    sys.modules[__name__] = None  # a replica has no module of that name
    try:
        loaded = pickle.loads(file.getvalue())
    finally:
        sys.modules[__name__] = own
    assert loaded.predict([1, 2]) == [1, 1]
    assert type(loaded).__name__ == "Model"


def test_imports_within_functions_are_needed():
    """Also relative ones, and those of functions within."""

    def outer(xs):
        def inner():
            import json.decoder
            from colorsys import hls_to_rgb

            return json.decoder, hls_to_rgb

        return [inner() for _ in xs]

    needed = pickling.write(outer, io.BytesIO(), "it")
    assert {"json.decoder", "colorsys"} <= needed.modules
    assert not needed.undefined


@functools.lru_cache(maxsize=7)
def fibonacci(n):
    """Answer by itself."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def test_a_cached_function_is_written_with_its_code():
    """Also one that calls itself, by the name that has the cache."""
    file = io.BytesIO()

    def numbers(xs):
        return [fibonacci(x) for x in xs]

    pickling.write(numbers, file, "it")
    own = sys.modules[__name__]
    sys.modules[__name__] = None  # a replica has no module of that name
    try:
        loaded = pickle.loads(file.getvalue())
        assert loaded([30]) == [832040]
        cached = loaded.__globals__["fibonacci"]
        assert cached.cache_info().maxsize == 7
        assert cached.__wrapped__.__globals__["fibonacci"] is cached
    finally:
        sys.modules[__name__] = own
