"""Which device each replica gets, and what it is told of it."""

import pytest

from servd.errors import InvalidValueError
from servd.replicas.launchers.device_choice import Chosen, check_device_here, choose
from servd.system.devices import Device
from tests.replicas import version_of

TWO = (Device(0, "0"), Device(1, "GPU-7"))


class _Machine:
    """A machine with some devices."""

    def __init__(self, *devices):
        self.find = lambda: devices


def test_replicas_get_one_device_each_in_turn():
    """Each knows its own as the only one, by its name, whatever CUDA's own order is."""
    version = version_of("-1", device="cuda")
    chosen = [choose(version, number, _Machine(*TWO)) for number in range(4)]
    assert [str(each) for each in chosen] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert chosen[1].variables == {
        "CUDA_VISIBLE_DEVICES": "GPU-7",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "SERVD_DEVICE": "cuda",
    }


def test_a_device_that_is_named_is_every_replicas():
    """Also where there are others."""
    version = version_of("-1", device="cuda:1")
    assert {str(choose(version, number, _Machine(*TWO))) for number in range(3)} == {"cuda:1"}


@pytest.mark.parametrize(("devices", "place"), [((), "cpu"), (TWO, "cuda:0")])
def test_auto_is_a_device_where_there_is_one(devices, place):
    """A machine without any is no fault then."""
    assert str(choose(version_of("-1", device="auto"), 0, _Machine(*devices))) == place


def test_the_processor_hides_all_devices():
    """From every library that knows any, in processes and in containers."""
    chosen = choose(version_of("-1", device="cpu"), 0, _Machine(*TWO))
    assert (chosen.variables["CUDA_VISIBLE_DEVICES"], chosen.variables["SERVD_DEVICE"]) == (
        *("", "cpu"),
    )
    assert chosen.variables_inside["NVIDIA_VISIBLE_DEVICES"] == "void"


def test_where_nothing_is_said_nothing_is_set():
    """As it was before devices could be asked for."""
    assert choose(version_of("-1"), 0, _Machine(*TWO)) is None


def test_a_container_has_the_device_that_it_is_given_only():
    """The number that it has outside means nothing there."""
    assert Chosen(TWO[1]).variables_inside == {"SERVD_DEVICE": "cuda"}


@pytest.mark.parametrize(
    ("device", "known", "message", "hint"),
    [
        ("cuda", (), "this machine has no CUDA device", "--device cpu, or auto"),
        ("cuda:0", (), "this machine has no CUDA device", "nvidia-smi"),
        ("cuda:2", TWO, "2 CUDA devices: cuda:0 and cuda:1", "--device cuda:1, or cuda"),
        ("cuda:1", TWO[:1], "1 CUDA device: cuda:0", "--device cuda:0"),
    ],
)
def test_a_device_that_is_not_here_is_refused(device, known, message, hint):
    """With those that are, or what to do without."""
    with pytest.raises(InvalidValueError) as refused:
        check_device_here(version_of("-1", device=device), known)
    assert message in refused.value.message
    assert hint in refused.value.hint
    for other in ("cpu", "auto", None):
        check_device_here(version_of("-1", device=other), known)
