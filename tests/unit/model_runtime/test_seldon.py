"""Classes of Seldon Core: how they are told from others, and how each arity is called."""

# ruff: noqa: N803, ARG002, ARG004, ARG005  # so are the parameters of such classes called

import functools

import numpy as np
import pytest

from model_runtime import inputs, loaders, manifest
from model_runtime.loaders.base import LoadError
from model_runtime.refusals import InputError
from model_runtime.seldon.component import Component
from model_runtime.seldon.shape import fault_of, is_seldon
from tests.models import seldon_model
from tests.seldon import CLASSES


class SeldonComponent:
    """Has the name of Seldon's own."""


class Derived(SeldonComponent):
    """Says so by what it derives from."""

    def predict(self, data):
        """Return it."""
        return data


class Fitted:
    """As fitted models are: names may be among what it takes later."""

    metrics = ("accuracy",)

    def predict(self, X, y=None, *, names=None):
        """Return it."""
        return X


@pytest.mark.parametrize(
    ("kind", "is_one"),
    [
        (seldon_model.Score, True),
        (seldon_model.Named, True),
        (seldon_model.Raw, True),
        (seldon_model.OnlyData, True),
        (seldon_model.Transformer, True),
        (Derived, True),
        (Derived(), True),
        (seldon_model.Plain, False),
        (Fitted, False),
        (np.ndarray, False),
        (dict, False),
    ],
)
def test_it_is_told_by_its_shape(kind, is_one):
    """By what it derives from, a method that only such have, or the names of parameters."""
    assert is_seldon(kind) is is_one


def test_what_cannot_be_called_is_said():
    """A predict without the data, or with more than there is; static ones have no self."""

    class Static:
        @staticmethod
        def predict(X, names):
            return X

    class Rest:
        def predict(self, *args, **kwargs):
            return args

    assert fault_of(seldon_model.NoInput).startswith("'NoInput.predict' takes no input")
    assert "needs X, names, meta, more" in fault_of(seldon_model.TooMany)
    for kind in (Static, Rest, seldon_model.Transformer, seldon_model.Named):
        assert fault_of(kind) is None


ARITIES = {
    "X": lambda self, X: [X],
    "names": lambda self, X, names: [X, names],
    "meta": lambda self, X, names, meta: [X, names, meta],
    "other": lambda self, X, feature_names, m=None: [X, feature_names, m],
    "keyword": lambda self, X, names, *, meta: [X, names, meta],
    "kwargs": lambda self, X, names=None, **kwargs: [X, names, kwargs["meta"]],
    "args": lambda self, *args: list(args),
    "only meta": lambda self, X, meta: [X, meta],
}


@pytest.mark.parametrize("name", ARITIES)
def test_each_arity_gets_what_it_takes(name):
    """Data, names of columns and meta, in this order or by their names."""
    got = []
    arity = ARITIES[name]

    @functools.wraps(arity)
    def predict(self, *args, **kwargs):
        got.extend(arity(self, *args, **kwargs))
        return []

    made = type("Made", (), {"predict": predict})()
    message = {"data": {"names": ["a"], "ndarray": [[1]]}, "meta": {"puid": "p"}}
    Component(made).answer(message)
    assert got[0].tolist() == [[1]]
    wanted = {"X": [], "names": [["a"]], "only meta": [{"puid": "p"}]}
    assert got[1:] == wanted.get(name, [["a"], {"puid": "p"}])


def bundle(tmp_path, name, **more):
    """Return the folder of a bundle of one of the classes."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "m.py").write_text(CLASSES.read_text())
    made = manifest.Manifest(
        loader="python", file="m.py", kind="seldon", object=name, input_type="any", **more
    )
    manifest.write(made, tmp_path)
    return tmp_path


def test_it_is_loaded_with_its_parameters(tmp_path):
    """Its signature says what it is, and a batch is answered message by message."""
    model = loaders.load(bundle(tmp_path, "Named", parameters={"alpha": 3}))
    assert model.signature.is_seldon
    batch = inputs.pack([{"data": {"ndarray": [[1, 2]]}}, [4, 5], {"seldon": "health"}], "any")
    first, second, third = model.predictor.predict(batch)
    assert b'"ndarray":[[3.0,3]]' in first
    assert second == b"[9.0,3]"
    assert b'"strData":"well"' in third


@pytest.mark.parametrize("message", [{"data": {"ndarray": [[1], [2, 3]]}}, {"binData": "x"}])
def test_what_is_no_array_is_a_fault_of_the_input(message):
    """It fails alone, and is none of the model."""
    with pytest.raises(InputError, match=r"data\.ndarray: |binData: wanted base64"):
        Component(seldon_model.Score()).answer(message)
    with pytest.raises(InputError, match="dance"):
        Component(seldon_model.Score()).answer({"seldon": "dance"})


def test_a_class_that_cannot_be_called_is_not_loaded(tmp_path):
    """Whoever made the bundle."""
    with pytest.raises(LoadError, match="takes no input"):
        loaders.load(bundle(tmp_path, "NoInput"))
