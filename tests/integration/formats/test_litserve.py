"""LitServe's classes, by their methods: without LitServe, with it, and against LitServe itself."""

import shutil
from pathlib import Path

import pytest

import servd.testing
from servd.client.trial import ModelError
from servd.errors import TargetError
from tests import formats

FILE = Path(__file__).parents[2] / "models" / "lit_api.py"


def loaded(name, **options):
    """Load a class in servd's own environment, which has no LitServe."""
    return servd.testing.loaded(f"{FILE}:{name}", **{"env": "shared", "skip_test": True} | options)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """What LitServe itself answers."""
    folder = tmp_path_factory.mktemp("litserve")
    shutil.copyfile(FILE, folder / "lit_api.py")
    return formats.made("litserve_answers", folder)


@pytest.mark.parametrize("name", ["Squares", "Batches", "Words", "Typed"])
def test_answers_are_litserve_s_own(own, name):
    """Decoded, batched, predicted, cut again and encoded, or yielded one after the other."""
    inputs, wanted = own[name]
    with loaded(name) as trial:
        assert [trial.predict(each) for each in inputs] == wanted
        assert trial.predict_batch(inputs) == wanted


def test_a_class_runs_where_litserve_is_installed(own):
    """With its own base class, which it is then derived from."""
    inputs, wanted = own["Batches"]
    with loaded("Batches", env=f"venv:{formats.environment()}") as trial:
        assert trial.predict_batch(inputs) == wanted


def test_batches_are_as_large_as_the_class_wants_them():
    """Seven inputs come as three, three and one; each has its own context."""
    inputs = [{"name": str(at), "number": at} for at in range(7)]
    with loaded("Batches") as trial:
        assert trial.predict_batch(inputs) == [[str(at), at * 10] for at in range(7)]
    with loaded("Batches", parameters={"max_batch_size": 2}) as trial:
        assert trial.predict_batch(inputs) == [[str(at), at * 10] for at in range(7)]


def test_what_cannot_be_decoded_fails_alone():
    """Its neighbours are answered; what the request's class refuses is the caller's fault."""
    with loaded("Batches") as trial, pytest.raises(ModelError, match="KeyError: 'name'"):
        trial.predict({"number": 1})
    with loaded("Typed") as trial:
        with pytest.raises(ModelError, match="number") as refusal:
            trial.predict({"number": "x"})
        assert refusal.value.is_input
        assert trial.predict({"number": 3}) == {"number": 4}


def test_arrays_are_stacked():
    """By the base class's own batch, where the class has none."""
    with loaded("Stacks", parameters={"max_batch_size": 8}) as trial:
        assert trial.predict_batch([[1, 2], [3, 4.5]]) == [3.0, 7.5]


def test_methods_alone_make_a_litapi():
    """A class that is derived from nothing is set up with the device."""
    with loaded("Duck", skip_test=False) as trial:
        assert trial.predict([1, 2]) == {"got": [1, 2], "device": "cpu"}


def test_an_asynchronous_generator_streams():
    """Items come one by one; asked for all at once they are a list."""
    with loaded("Later") as trial:
        assert trial.predict({"text": "a b"}) == ["a!", "b!"]
        assert trial.signature["is_stream"]


def test_a_litapi_without_predict_is_refused():
    """Before anything is sent."""
    with pytest.raises(TargetError, match="'Lacking' is a LitAPI without predict"):  # noqa: SIM117
        with loaded("Lacking"):
            pass
