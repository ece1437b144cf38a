"""Functions, classes and models of a running program, deployed and asked."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from model_runtime import loaders, manifest
from model_runtime.bundle import FILES_NAME
from model_runtime.loaders.base import LoadError
from servd.client.objects import as_target
from servd.errors import TargetError
from servd.packing.bundling import BundleOptions, build, plan_bundle

BIAS = 10.0


@dataclass
class Order:
    """What a function of a test takes."""

    count: int
    word: str = "x"


def by_parts(a: float, b: float = 2.0) -> float:
    """Answer a sum of three."""
    return a + b + BIAS


def of_orders(order: Order) -> str:
    """Answer the word as often as it is ordered."""
    return order.word * order.count


def count_to(n: int) -> Iterator[int]:
    """Yield the numbers up to one."""
    yield from range(n)


class Model:
    """Makes in `load` what cannot be sent."""

    def __init__(self, factor: float = 5.0) -> None:
        self.factor = factor

    def load(self) -> None:
        """Make a lock."""
        self.lock = threading.Lock()

    def predict(self, xs: list[list[float]]) -> list[float]:
        """Answer multiples of sums."""
        with self.lock:
            return [sum(x) * self.factor for x in xs]


def deployed(client, target, **options):
    """Deploy with time enough, and return what was made."""
    return client.deploy(target, **({"slo_ms": 10_000, "app": None} | options))


@pytest.mark.parametrize(
    ("target", "given", "answer"),
    [
        (by_parts, {"a": 1.0}, 13.0),
        (of_orders, {"count": 2, "word": "ab"}, "abab"),
        (count_to, {"n": 3}, [0, 1, 2]),
        (Model, [1.0, 2.0], 15.0),
        (Model(2.0), [1.0, 2.0], 6.0),
        (functools.partial(by_parts, b=0.0), {"a": 1.0}, 11.0),
    ],
    ids=["parts", "record", "yields", "class", "instance", "partial"],
)
def test_what_a_test_module_defines_answers(client, target, given, answer):
    """By its annotations, which are texts here; the replica has no module of that name."""
    name = f"model-{abs(hash(str(target)))}"
    made = deployed(client, target, name=name)
    assert made.warnings == ()
    assert client.predict(name, given).output == answer


def test_a_closure_answers_with_what_it_closed_over(client):
    """A local function, a lambda, and one that uses an array."""
    table = np.arange(1000.0)
    word = "seen"

    def looked_up(xs):
        return [f"{word} {table[int(x[0])]:g}" for x in xs]

    deployed(client, looked_up)
    assert client.predict("looked_up", [7.0]).output == "seen 7"
    made = deployed(client, lambda xs: [len(x) for x in xs], name="lengths")
    assert (made.model, made.app) == ("lengths", "lengths")
    assert client.predict("lengths", [1.0, 2.0]).output == 2


def test_the_same_again_is_unchanged_and_another_is_a_version(client):
    """As of a file."""

    def stated(xs, by=1.0):
        return [sum(x) * by for x in xs]

    assert deployed(client, stated).version == "1"
    assert deployed(client, stated).state == "unchanged"
    stated.__defaults__ = (3.0,)
    assert deployed(client, stated).version == "2"
    assert client.predict("stated", [2.0]).output == 6.0
    assert client.rollback("stated").version == "1"
    assert client.predict("stated", [2.0]).output == 2.0


def test_a_fitted_model_is_a_target_like_a_file(client):
    """It says itself what it takes."""
    classifier = LogisticRegression().fit([[0.0, 1.0], [1.0, 0.0]], [0, 1])
    made = deployed(client, classifier, name="fitted")
    assert made.signature["value"]["minItems"] == 2
    assert client.predict("fitted", [1.0, 0.0]).output == 1
    with pytest.raises(Exception, match="2"):
        client.predict("fitted", [1.0])


def test_local_modules_and_files_come_along(client, tmp_path, monkeypatch):
    """Those that the function's own module has imported, and a file that it names."""
    (tmp_path / "shop_prices.py").write_text("def price(word):\n    return len(word) * 2\n")
    (tmp_path / "shop_words.txt").write_text("two\n")
    (tmp_path / "shop_main.py").write_text(
        "import shop_prices\n"
        "def shop(xs):\n"
        "    from pathlib import Path\n"
        "    with open('shop_words.txt') as file: word = file.read().strip()\n"
        "    return [f'{word} {shop_prices.price(x)}' for x in xs]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    try:
        shop = importlib.import_module("shop_main").shop
        deployed(client, shop, input_type="strings")
    finally:
        for name in ("shop_main", "shop_prices"):
            sys.modules.pop(name, None)
    assert client.predict("shop", "abc").output == "two 6"


def test_what_was_written_by_another_python_is_refused_before_it_is_read(tmp_path):
    """With both versions: what it has compiled could end the process that reads it."""
    with as_target(by_parts) as target:
        plan = plan_bundle(target, BundleOptions(), tmp_path)
        build(plan, tmp_path)
    assert plan.manifest.kind == "function"
    assert plan.manifest.packages["cloudpickle"]
    pickled = tmp_path / FILES_NAME / plan.manifest.file
    # Were it read, this would be another error.
    pickled.write_bytes(b"no pickle")
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace(plan.manifest.python, "3.9.1"))
    assert manifest.read(tmp_path).python == "3.9.1"
    with pytest.raises(LoadError, match=r"'?by_parts'? was written by Python 3\.9, and .* 3\.\d+"):
        loaders.load(tmp_path)


@pytest.mark.parametrize(
    "target", [5, [1], {"a": 1}, object()], ids=lambda target: type(target).__name__
)
def test_what_is_no_model_is_refused(client, target):
    """With what would be one."""
    with pytest.raises(TargetError, match="is not something to deploy") as told:
        client.deploy(target)
    assert "a function" in told.value.hint


def test_nothing_is_sent_of_what_cannot_be(client):
    """The path to what is in the way is in the message."""
    lock = threading.Lock()
    with pytest.raises(TargetError, match=r"holds `lock`, a lock \(_thread.lock\)"):
        client.deploy(lambda xs: [lock for _ in xs], name="never")
    assert all(each.name != "never" for each in client.models())


class Scored:
    """Written for Seldon Core, made with a parameter."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def predict(self, X, names, meta=None):  # noqa: N803 - Seldon's words
        """Answer what it gets, shifted."""
        del names, meta
        return np.asarray(X) + self.shift


def test_a_class_for_seldon_is_called_with_messages(client):
    """As from a file; also an instance of it, and with parameters."""
    for name, target, parameters in (
        ("seldon-class", Scored, {"shift": 1.0}),
        ("seldon-instance", Scored(2.0), None),
    ):
        deployed(client, target, name=name, parameters=parameters)
        message = {"data": {"ndarray": [[1.0, 2.0]]}}
        [row] = client.predict(name, message).output["data"]["ndarray"]
        assert row == [1.0 + (parameters or {"shift": 2.0})["shift"], row[0] + 1.0]


def test_a_web_application_is_run_from_its_file(client, tmp_path, monkeypatch):
    """Of a module it is known; one that is of none is refused with what to do."""

    async def nowhere(scope, receive, send):
        del scope, receive, send

    with pytest.raises(TargetError, match="of no module"):
        client.deploy(nowhere)
    (tmp_path / "shop_app.py").write_text(
        "async def shop_app(scope, receive, send):\n"
        "    if scope['type'] != 'http': return\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b'open'})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        made = client.deploy(importlib.import_module("shop_app").shop_app, name="shop-app")
    finally:
        sys.modules.pop("shop_app", None)
    with urllib.request.urlopen(f"http://{client.query_address}/shop-app/x") as answer:
        assert (made.state, answer.read()) == ("live", b"open")
