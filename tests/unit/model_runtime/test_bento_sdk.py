"""Services of BentoML 1.x, by what is looked at; tests/e2e/test_bento_sdk.py has real ones."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from model_runtime import discover, inputs, loaders
from model_runtime.loaders.base import LoadError
from model_runtime.loaders.bento_sdk import is_legacy, is_service, told
from model_runtime.manifest import Manifest, write

LIBRARY = """
class Api:
    def __init__(self, func, batchable, ctx_param):
        self.func, self.batchable, self.ctx_param = func, batchable, ctx_param


class Service:
    context = "the context"

    def __init__(self, inner):
        self.inner = inner
        self.apis = {n: each for n, each in vars(inner).items() if isinstance(each, Api)}

    def __call__(self):
        return self.inner()


def api(batchable=False, ctx_param=None):
    return lambda func: Api(func, batchable, ctx_param)


def on_startup(func):
    func.__bentoml_startup_hook__ = True
    return func
"""
SERVICE = """
import threading

from _bentoml_sdk import Service, api, on_startup


@Service
class Summer:
    @on_startup
    async def warm(self):
        self.factor = 2

    @api()
    def scale(self, text: str, times: int = 2) -> str:
        return text * times * self.factor

    @api(batchable=True)
    def lengths(self, texts: list[str]) -> list[int]:
        return [len(each) for each in texts]

    @api(ctx_param="ctx")
    def told(self, numbers: list[float], ctx) -> str:
        return f"{sum(numbers)} {ctx}"

    @api()
    def unclear(self, *, made: threading.Thread) -> str:
        return ""
"""


@pytest.fixture
def library(monkeypatch):
    """Have what services are told by, as long as a test runs."""
    module = ModuleType("_bentoml_sdk")
    exec(LIBRARY, vars(module))
    monkeypatch.setitem(sys.modules, "_bentoml_sdk", module)
    return module


@pytest.fixture
def answer(tmp_path, library, monkeypatch):
    """Return a function that has an API of a loaded service answer."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "service.py").write_text(SERVICE)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def ask(api, input_type, call, *values):
        manifest = Manifest(
            loader="bento",
            file="service.py",
            kind="service",
            object="Summer",
            method=api,
            input_type=input_type,
            call=call,
        )
        write(manifest, tmp_path)
        sys.modules.pop("service", None)
        model = loaders.load(tmp_path)
        return model.predictor.predict(inputs.pack([*values], input_type, model.signature))

    yield ask
    sys.modules.pop("service", None)
    del library


def test_an_api_is_called_as_its_parameters_say(answer):
    """By fields, one after the other; a list where it is batchable; its context beside."""
    assert answer("scale", "rows", "each", {"text": "a"}, {"text": "b", "times": 1}) == [
        b'"aaaa"',
        b'"bb"',
    ]
    assert answer("lengths", "strings", "batch", "a", "bcd") == [b"1", b"3"]
    assert answer("told", "doubles", "each", [1.0, 2.0]) == [b'"3.0 the context"']


@pytest.mark.usefixtures("library")
def test_each_api_is_told_of_or_why_it_cannot_be(tmp_path):
    """Also where a file alone is looked at: it names its services."""
    path = tmp_path / "service.py"
    path.write_text(SERVICE)
    found, _ = discover.discover(path, None)
    assert found["services"] == ["Summer"]
    found, _ = discover.discover(path, "Summer")
    apis = found["apis"]
    assert apis["lengths"]["signature"]["input_type"] == "strings"
    assert apis["scale"]["signature"]["required"] == ["text"]
    assert "made" in apis["unclear"]["error"]


def test_a_service_without_an_api_or_of_another_kind_is_none(library, answer):
    """Each says what it lacks."""
    with pytest.raises(LoadError, match="'S' has no API"):
        told(library.Service(object), "S")
    with pytest.raises(LoadError, match="is no service with an API other"):
        answer("other", "any", "each", 1)
    legacy = type("Service", (), {"__module__": "bentoml._internal.service.service"})()
    assert is_legacy(legacy)
    assert not is_service(SimpleNamespace(apis={}))


def test_a_service_of_before_1_2_is_refused(tmp_path):
    """Its models would run beside it."""
    path = tmp_path / "older.py"
    path.write_text(
        "class Service:\n    pass\n"
        "Service.__module__ = 'bentoml._internal.service.service'\nsvc = Service()\n"
    )
    found, _ = discover.discover(path, "svc")
    assert "before 1.2" in found["error"]["message"]
