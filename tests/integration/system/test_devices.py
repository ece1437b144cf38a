"""Devices where only a program knows of them."""

from servd.system.devices import Devices


def _program(folder, text):
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\necho x >>{folder}/asked\n{text}\n")
    path.chmod(0o755)
    return {"PATH": str(folder)}


def test_a_program_is_asked_once_a_minute(tmp_path):
    """It may take a second, and replicas are started more often than that."""
    now_s = [0.0]
    listed = "\n".join(f"GPU {n}: NVIDIA H100 (UUID: GPU-{n})" for n in (0, 1))
    environ = _program(tmp_path, f"echo '{listed}'")
    devices = Devices(environ, tmp_path, lambda: now_s[0])
    assert [str(each) for each in devices.find()] == ["cuda:0", "cuda:1"]
    assert devices.find() == devices.find()
    assert (tmp_path / "asked").read_text() == "x\n"
    now_s[0] = 61.0
    devices.find()
    assert (tmp_path / "asked").read_text() == "x\nx\n"


def test_a_program_that_finds_no_driver_has_no_devices(tmp_path):
    """As it is left on machines whose device was taken out."""
    said = "echo NVIDIA-SMI has failed because it could not communicate; exit 9"
    assert Devices(_program(tmp_path, said), tmp_path).find() == ()
