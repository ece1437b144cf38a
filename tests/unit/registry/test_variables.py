"""Variables of a model's environment: what may be set, and that values are told nowhere."""

import msgspec
import pytest

from model_runtime.contract import THREAD_VARIABLES
from servd.datatypes import DeployRequest, RegistryState, Variables
from servd.errors import InvalidValueError
from servd.registry import variables
from servd.registry.variables import check_beside, check_variables, read_variables

SECRET = "s3cr3t-value"


def test_a_name_alone_has_the_deployers_own_value():
    """A value may be empty, hold '=' and lines; a name without one has to be set here."""
    given = ["A=1", "B=", "C=x=y", "D", "E=one\ntwo", "_f0=é"]
    found = read_variables(given, {"D": "here", "A": "not this"})
    assert found == {"A": "1", "B": "", "C": "x=y", "D": "here", "E": "one\ntwo", "_f0": "é"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["A"], "A is given without a value"),
        ([f"A={SECRET}", f"A={SECRET}"], "A is given twice"),
        ([f"={SECRET}"], "not a name"),
        ([f"a b={SECRET}"], "'a b' is not a name"),
        ([f"1x={SECRET}"], "'1x' is not a name"),
        ([f"a-b={SECRET}"], "'a-b' is not a name"),
        ([f"é={SECRET}"], "not a name"),
        ([f"{SECRET} without its name"], "what was given is not a name"),
        ([f"SERVD_TOKEN={SECRET}"], "the runtime's own"),
        ([f"SERVD_={SECRET}"], "the runtime's own"),
        ([f"PYTHONHOME={SECRET}"], "the runtime's own"),
        ([f"PYTHONPATH={SECRET}"], "the runtime's own"),
        ([f"A={SECRET}\0"], "zero byte"),
        ([f"A={SECRET}\udc80"], "not UTF-8"),
        ([f"A={SECRET * 100_000}"], "1200000 bytes"),
        ([f"A{n}={SECRET * 8000}" for n in range(10)], "together"),
        ([f"A{n}={SECRET}" for n in range(600)], "too many"),
        ([f"{'A' * 300}={SECRET}"], "not a name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_environment_can_have_is_refused(given, words):
    """The error has the name and what is wrong, and never the value."""
    with pytest.raises(InvalidValueError) as refused:
        read_variables(given, {})
    said = f"{refused.value.message} {refused.value.hint}"
    assert words in said
    assert SECRET not in said
    assert refused.value.__cause__ is None


def test_the_longest_value_is_what_the_kernel_gives_a_process():
    """Name, '=', value and the zero behind it have 128 KiB."""
    check_variables({"AB": "x" * (variables.MAX_BYTES - 3)})
    with pytest.raises(InvalidValueError, match="at most"):
        check_variables({"AB": "x" * (variables.MAX_BYTES - 2)})


def test_what_an_option_says_no_variable_says_too():
    """Else one of both would be without effect."""
    check_beside(["OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"], None, None)
    for name in THREAD_VARIABLES:
        with pytest.raises(InvalidValueError, match=f"{name} is what --threads sets"):
            check_beside([name], None, 2)
    with pytest.raises(InvalidValueError, match="--device"):
        check_beside(["CUDA_VISIBLE_DEVICES"], "cpu", None)


def test_values_are_hidden_in_what_others_read():
    """Also a line of one, and one that holds another; what is short is a word as any."""
    own = Variables(A="secret-one", B="secret-one-more", KEY="----\nlong line\n", N="1", M="short")
    told = {"message": "secret-one-more, secret-one", "lines": ["a long line", 1, None, "1 short"]}
    assert own.hide(told) == {
        "message": "(the value of B), (the value of A)",
        "lines": ["a (the value of KEY)", 1, None, "1 short"],
    }


def test_no_value_is_in_what_is_written_of_a_request_or_a_state():
    """A log line or a traceback that shows them shows names."""
    request = DeployRequest(model="m", bundle="b", env_vars={"TOKEN": SECRET})
    state = RegistryState(variables={("m", "1"): Variables(TOKEN=SECRET)})
    for shown in (repr(request), str(request), f"{request}", repr(state), f"{[state, request]}"):
        assert "TOKEN" in shown
        assert SECRET not in shown
    assert "model='m'" in repr(request)
    assert msgspec.json.decode(msgspec.json.encode(request), type=DeployRequest) == request
