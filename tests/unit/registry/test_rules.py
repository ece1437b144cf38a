"""The registry's rules by themselves: bounds, names that are given, what is not removed."""

import pytest

from servd.datatypes import RegistryState, VersionId
from servd.errors import ConflictError, InvalidNameError, InvalidValueError
from servd.registry import rules
from tests.registered import app, version


def state_of(*versions, current=None, links=None):
    """Return the state in which these versions and the applications of these links exist."""
    return RegistryState(
        applications={name: app(name) for name in links or {}},
        versions={one.id: one for one in versions},
        current=current or {},
        links=links or {},
    )


@pytest.mark.parametrize("slo_us", [1, rules.MAX_SLO_US])
def test_an_objective_may_be_a_microsecond_or_a_day(slo_us):
    """Both ends are taken."""
    rules.check_slo(slo_us)


@pytest.mark.parametrize("slo_us", [-1, 0, rules.MAX_SLO_US + 1])
def test_an_objective_beyond_is_refused(slo_us):
    """Neither nothing nor more than a day."""
    with pytest.raises(InvalidValueError, match="is not a latency objective"):
        rules.check_slo(slo_us)


def test_a_batch_limit_is_a_number_above_zero_or_adaptive():
    """One input a batch is a limit; none is not."""
    rules.check_max_batch(1)
    rules.check_max_batch(-1)
    for wrong in (0, -2):
        with pytest.raises(InvalidValueError, match="The batch size must be positive"):
            rules.check_max_batch(wrong)


@pytest.mark.parametrize(
    ("named", "application"),
    [
        (version(model="a+model"), None),
        (version("1+2"), None),
        (version(labels=("a:b",)), None),
        (version(), app("an+app")),
        (version(), app(slo_us=0)),
    ],
    ids=["model", "version", "label", "application", "objective"],
)
def test_a_deployment_gives_no_name_that_servd_would_not_give(named, application):
    """Nor an objective that it would not."""
    with pytest.raises((InvalidNameError, InvalidValueError), match=r"is not a|Invalid label"):
        rules.check_new_names(state_of(), named, application)


def test_a_deployment_goes_to_what_has_an_older_name():
    """What a Clipper client has made keeps it."""
    state = state_of(version(model="a+model"), links={"an+app": ("a+model",)})
    rules.check_new_names(state, version("2", "a+model"), app("an+app"))
    rules.check_new_names(state_of(), version(), app())


@pytest.mark.parametrize(
    ("known", "current", "step"),
    [
        ("123", "2", "servd rollback m 1 first, or "),
        ("123", "1", "servd rollback m 3 first, or "),
        ("1", "1", ""),
    ],
    ids=["the one before", "no older one", "no other"],
)
def test_the_current_version_is_not_removed(known, current, step):
    """The hint names the version to go back to, if there is one; others may go."""
    versions = [version(name) for name in known]
    state = state_of(*versions, current={"m": current}, links={"a": ("m",)})
    with pytest.raises(ConflictError) as caught:
        rules.check_version_unused(state, VersionId("m", current))
    assert caught.value.message == f"m:{current} is the current version and answers a"
    assert caught.value.hint == f"{step}--force removes it"
    for name in known.replace(current, ""):
        rules.check_version_unused(state, VersionId("m", name))


def test_a_source_is_kept_beside_the_others():
    """By version."""
    state = rules.with_source(state_of(version()), VersionId("m", "1"), "one.py")
    state = rules.with_source(state, VersionId("m", "2"), "two.py")
    assert state.sources == {VersionId("m", "1"): "one.py", VersionId("m", "2"): "two.py"}
