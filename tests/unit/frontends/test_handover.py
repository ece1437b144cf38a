"""What answers until a newly published version can."""

import msgspec
import pytest

from servd.datatypes import Application, InputType, RegistryState, VersionId
from servd.frontends.handover import hold_back
from tests.replicas import version_of

ONE, TWO = version_of("1"), version_of("2")
OTHER = version_of("1", model="n")


def _state(*versions, current, links=("m",), input_type=InputType.DOUBLES):
    return RegistryState(
        {"a": Application(name="a", input_type=input_type, slo_us=1)},
        {version.id: version for version in versions},
        current,
        {"a": links} if links is not None else {},
    )


BEFORE = _state(ONE, current={"m": "1"})


def test_without_anything_before_the_wanted_holds():
    """Also while nothing of it can answer."""
    assert hold_back(BEFORE, RegistryState(), ()) == BEFORE


def test_the_default_application_is_the_one_that_is_wanted():
    """Whatever is held back."""
    wanted = msgspec.structs.replace(_state(ONE, TWO, current={"m": "2"}), default_app="a")
    assert hold_back(wanted, BEFORE, {ONE.id}).default_app == "a"


def test_a_version_answers_until_the_next_one_can():
    """Even where the registry has dropped it already."""
    for wanted in (
        _state(ONE, TWO, current={"m": "2"}),
        _state(TWO, current={"m": "2"}),
    ):
        held = hold_back(wanted, BEFORE, {ONE.id})
        assert held.current == {"m": "1"}
        assert held.versions.keys() == {ONE.id, TWO.id}
        assert hold_back(wanted, held, {ONE.id}) == held
        assert hold_back(wanted, held, {ONE.id, TWO.id}) == wanted
        assert hold_back(wanted, held, ()) == wanted


def test_another_input_type_is_not_held_back():
    """The application's callers send the new one from now on."""
    strings = version_of("2", input_type=InputType.STRINGS)
    wanted = _state(strings, current={"m": "2"}, input_type=InputType.STRINGS)
    assert hold_back(wanted, BEFORE, {ONE.id}) == wanted


def test_an_application_stays_with_its_model_until_the_next_one_can_answer():
    """Whether the old model stays registered or not."""
    for wanted in (
        _state(ONE, OTHER, current={"m": "1", "n": "1"}, links=("n",)),
        _state(OTHER, current={"n": "1"}, links=("n",)),
    ):
        held = hold_back(wanted, BEFORE, {ONE.id})
        assert held.links == {"a": ("m",)}
        assert held.current["m"] == "1"
        assert ONE.id in held.versions
        assert hold_back(wanted, held, {ONE.id, OTHER.id}) == wanted
        assert hold_back(wanted, BEFORE, ()) == wanted


def test_an_application_that_takes_something_else_is_not_held_back():
    """Its old model could not read what is sent to it now."""
    other = version_of("1", model="n", input_type=InputType.STRINGS)
    wanted = _state(other, current={"n": "1"}, links=("n",), input_type=InputType.STRINGS)
    assert hold_back(wanted, BEFORE, {ONE.id}) == wanted


def test_an_application_without_a_model_is_left_so():
    """To unlink is a wish too."""
    for links in ((), None):
        wanted = _state(ONE, current={"m": "1"}, links=links)
        assert hold_back(wanted, BEFORE, {ONE.id}) == wanted
    assert VersionId("m", "1") == ONE.id


def _aged(number, **fields):
    return version_of(number, created_s=float(number), **fields)


FIRST, SECOND, THIRD = _aged("1"), _aged("2"), _aged("3")


@pytest.mark.parametrize(
    ("current", "live", "answers"),
    [
        ("3", "12", "2"),
        ("3", "1", "1"),
        ("2", "13", "1"),
        ("2", "3", "3"),
        ("3", "123", "3"),
        ("3", "", "3"),
        ("1", "23", "2"),
    ],
)
def test_at_a_start_the_version_before_answers(current, live, answers):
    """The newest of the older ones; else, as after a rollback, the oldest of the newer ones."""
    wanted = _state(FIRST, SECOND, THIRD, current={"m": current})
    ids = {VersionId("m", number) for number in live}
    assert hold_back(wanted, wanted, ids).current == {"m": answers}
    assert hold_back(wanted, RegistryState(), ids).current == {"m": answers}


def test_nothing_stands_in_for_a_version_that_has_answered():
    """It has lost its replicas: that is for its application's default output to say."""
    wanted = _state(FIRST, SECOND, current={"m": "2"})
    assert hold_back(wanted, wanted, {FIRST.id}, {SECOND.id}).current == {"m": "2"}


def test_a_version_that_takes_something_else_does_not_stand_in():
    """The application's callers send what the current one takes."""
    strings = _aged("1", input_type=InputType.STRINGS)
    wanted = _state(strings, SECOND, current={"m": "2"})
    assert hold_back(wanted, wanted, {strings.id}).current == {"m": "2"}
