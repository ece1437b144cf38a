"""test_predict_function: what it answers, and what it finds wrong, as clipper_admin does."""

import importlib

import pytest

import servd.clipper


class Manager:
    """A manager that has nothing to connect with."""

    cluster_identifier = "none"

    def connect(self):
        """Do nothing."""

    def get_query_addr(self):
        """Return no address."""
        return ""


@pytest.fixture(params=["servd.clipper", "clipper_admin"])
def predict(request):
    """Return the method of a connection of either package."""
    package = pytest.importorskip(request.param, reason="needs clipper_admin 0.4.1")
    return package.ClipperConnection(Manager()).test_predict_function


def kinds(xs):
    """Return what each input is, and its sum where it has one."""
    return [f"{type(x).__name__}:{getattr(x, 'dtype', '')}" for x in xs]


@pytest.mark.parametrize(
    ("query", "input_type", "answer"),
    [
        ({"input": [1.1, 2.2]}, "doubles", ["ndarray:float64"]),
        ({"input": [1.1, 2.2]}, "floats", ["ndarray:float32"]),
        ({"input": [1, 2]}, "integers", ["ndarray:int32"]),
        ({"input_batch": [[1.5], [2.5]]}, "doubles", ["ndarray:float64", "ndarray:float64"]),
        ({"input": [1, 2]}, "doubles", "Invalid input type"),
        ({"input": [1.5]}, "integers", "Invalid input type"),
        ({"input": [True]}, "integers", "Invalid input type"),
        ({"input_batch": [1.5]}, "doubles", "Invalid input type or JSON key"),
        ({"input": 1.5}, "doubles", "Invalid input type or JSON key"),
        ({"inputs": [1.5]}, "doubles", ["ndarray:float64"]),
        ({"input": ["a"]}, "string", ["str_:<U5"]),
    ],
)
def test_answers_and_faults(predict, query, input_type, answer):
    """Numbers are arrays of the type, of which each must be exactly; faults are texts."""
    assert predict(query, kinds, input_type) == answer


def test_strings_are_not_known_by_their_own_word(predict):
    """Under "strings" the function gets nothing at all, so it fails."""
    with pytest.raises(TypeError, match="NoneType"):
        predict({"input": ["a"]}, kinds, "strings")


def test_a_function_is_pickled_and_read_again(predict):
    """It gets what it closes over by value; what has no pickle is raised."""
    offset = 2

    def add(xs):
        return [float(x.sum()) + offset for x in xs]

    assert predict({"input": [1.0, 2.0]}, add, "doubles") == [5.0]
    lock = importlib.import_module("threading").Lock()
    with pytest.raises(TypeError, match="lock"):
        predict({"input": [1.0]}, lambda xs: [str(lock) for _ in xs], "doubles")


def test_a_predicate_that_reloads_as_nothing(predict):
    """What is false when it has been read again is told, and not called."""

    class Empty:
        def __call__(self, xs):
            return xs

        def __bool__(self):
            return False

    said = "Function does not properly serialize and reload"
    assert predict({"input": [1.0]}, Empty(), "doubles") == said


def test_the_signature_of_the_package():
    """Both packages have it under the same name."""
    assert callable(servd.clipper.ClipperConnection.test_predict_function)
