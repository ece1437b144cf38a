"""Which device each replica of a version gets: one in turn. Used by both launchers."""

from dataclasses import dataclass
from typing import Final

from model_runtime.contract import DEVICE_VARIABLE
from servd.datatypes import DOCKER, ModelVersion
from servd.errors import InvalidValueError
from servd.quantities import counted
from servd.registry.limits import AUTO, CPU, CUDA, device_number
from servd.system.devices import ORDER, VISIBLE, Device, Devices

_GIVEN: Final = "NVIDIA_VISIBLE_DEVICES"
_HIDDEN: Final = {VISIBLE: "", "HIP_VISIBLE_DEVICES": "-1", "ROCR_VISIBLE_DEVICES": "-1"}
"""What hides all devices from the libraries that know any."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a replica computes on: `device` None is the processor."""

    device: Device | None = None

    def __str__(self) -> str:
        return CPU if self.device is None else str(self.device)

    @property
    def variables(self) -> dict[str, str]:
        """What its environment says of it: of one device, which it knows as the only one."""
        if self.device is None:
            return {**_HIDDEN, DEVICE_VARIABLE: CPU}
        # Numbers are counted along the bus, as people see them, and not from the fastest.
        return {VISIBLE: self.device.name, ORDER: "PCI_BUS_ID", DEVICE_VARIABLE: CUDA}

    @property
    def variables_inside(self) -> dict[str, str]:
        """The same in a container, in which there is no other device than that one."""
        if self.device is None:
            return {**self.variables, _GIVEN: "void"}
        return {DEVICE_VARIABLE: CUDA}


def choose(version: ModelVersion, replica: int, devices: Devices) -> Chosen | None:
    """Return what a replica computes on; None where its version leaves that open. May block.

    Raises:
        InvalidValueError: the machine has no such device.
    """
    wanted = version.device
    if wanted is None:
        return None
    if wanted == CPU:
        return Chosen()
    known = devices.find()
    if wanted == AUTO and not known:
        return Chosen()
    check_device_here(version, known)
    number = device_number(wanted)
    return Chosen(known[replica % len(known) if number is None else number])


def check_device_here(version: ModelVersion, known: tuple[Device, ...]) -> None:
    """Raise where a version wants a device that is not among those of this machine.

    Raises:
        InvalidValueError: it does; says what there is.
    """
    wanted = version.device
    if wanted in (None, CPU, AUTO):
        return
    if not known:
        where = "container engine's machine" if version.runtime == DOCKER else "machine"
        raise InvalidValueError(
            f"{version.id} is to run on {wanted}, and this {where} has no CUDA device",
            hint="--device cpu, or auto, which takes a device where there is one; if there should "
            "be one, nvidia-smi shows whether its driver is there",
        )
    number = device_number(str(wanted))
    if number is not None and number >= len(known):
        there = " and ".join(filter(None, [", ".join(map(str, known[:-1])), str(known[-1])]))
        raise InvalidValueError(
            f"{version.id} is to run on {wanted}, and this machine has "
            f"{counted(len(known), 'CUDA device')}: {there}",
            hint=f"--device {known[-1]}, or cuda, which gives each replica one in turn",
        )
