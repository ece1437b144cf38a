"""What callers of `deploy` give, in the words of a deployment request."""

import inspect

import pytest

from servd.client.async_client import AsyncClient
from servd.client.client import Client
from servd.client.wanted import DeployOptions, request_settings
from servd.errors import InvalidValueError

DEFAULTS = {
    name: each.default for name, each in inspect.signature(Client.deploy).parameters.items()
}


def _settings(**given):
    return request_settings(DEFAULTS | given)


def test_limits_device_and_threads_are_those_of_the_command():
    """A size may be a text; what is not given is not in the request, so that defaults stay."""
    asked = _settings(memory="2g", cpus=1.5, device="cuda", threads=3)
    assert asked["memory_bytes"] == 2 * 2**30
    assert (asked["cpus"], asked["device"], asked["threads"]) == (1.5, "cuda", 3)
    assert asked["runtime"] == "process"
    assert not {"memory_bytes", "cpus", "device", "threads", "env_vars"} & _settings().keys()


@pytest.mark.parametrize(
    "given",
    [{"A": "1", "B": None, "N": 3}, ["A=1", "B", "N=3"], ("B", "N=3", "A=1")],
    ids=["dict", "list", "tuple"],
)
def test_variables_are_a_dict_or_texts(given, monkeypatch):
    """What has no value has the program's own."""
    monkeypatch.setenv("B", "here")
    assert _settings(env_vars=given)["env_vars"] == {"A": "1", "B": "here", "N": "3"}
    assert _settings(env_vars="A=1")["env_vars"] == {"A": "1"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"memory": "1k"}, "too little memory"),
        ({"cpus": 0}, "no number of processors"),
        ({"device": "gpu"}, "is not a device"),
        ({"device": "cpu", "gpus": 1, "runtime": "docker"}, "give one of them"),
        ({"gpus": 1}, "gpus is for containers"),
        ({"threads": 0}, "no number of threads"),
        ({"env_vars": {"A=B": "x"}}, "not a name"),
        ({"env_vars": {"NOT_SET_ANYWHERE": None}}, "is not set here"),
        ({"env_vars": ["OMP_NUM_THREADS=1"], "threads": 2}, "what --threads sets"),
    ],
)
def test_what_no_replica_can_have_is_refused_before_anything_is_sent(given, words):
    """In the words of the command."""
    with pytest.raises(InvalidValueError, match=words):
        _settings(**given)


def test_both_clients_and_their_options_have_the_same_words():
    """An option that one of them lacks would be refused by it."""
    asked = set(DEFAULTS) - {"self", "target"}
    assert asked == set(DeployOptions.__annotations__)
    assert "DeployOptions" in str(inspect.signature(AsyncClient.deploy))
