"""The CUDA devices of a machine, by what its kernel shows of them."""

import pytest

from servd.system.devices import Devices


def _machine(root, minors, nodes):
    """Make a machine whose driver lists devices of these numbers, of which some are given."""
    for place, minor in enumerate(minors):
        folder = root / "proc/driver/nvidia/gpus" / f"0000:{place + 1:02x}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t H100\nDevice Minor: \t {minor}\n")
    (root / "dev").mkdir()
    for name in ("nvidiactl", "nvidia-uvm", *(f"nvidia{number}" for number in nodes)):
        (root / "dev" / name).touch()


@pytest.mark.parametrize(
    ("minors", "nodes", "environ", "found"),
    [
        ((), (), {}, []),
        ((0,), (0,), {}, [("cuda:0", "0")]),
        ((1, 0), (0, 1), {}, [("cuda:0", "0"), ("cuda:1", "1")]),
        ((0, 1, 2, 3), (2, 3), {}, [("cuda:0", "0"), ("cuda:1", "1")]),
        ((0, 1), (), {}, [("cuda:0", "0"), ("cuda:1", "1")]),
        ((), (4, 10), {}, [("cuda:0", "0"), ("cuda:1", "1")]),
        (
            *((0, 1, 2, 3), (0, 1, 2, 3), {"CUDA_VISIBLE_DEVICES": "2, 3"}),
            [("cuda:0", "2"), ("cuda:1", "3")],
        ),
        ((0, 1), (0, 1), {"CUDA_VISIBLE_DEVICES": ""}, []),
        ((0, 1), (0, 1), {"CUDA_VISIBLE_DEVICES": "1,-1,0"}, [("cuda:0", "1")]),
        ((0,), (0,), {"CUDA_VISIBLE_DEVICES": "GPU-1a2b"}, [("cuda:0", "GPU-1a2b")]),
        ((), (), {"CUDA_VISIBLE_DEVICES": "0"}, []),
    ],
    ids=[
        *("none", "one", "two", "some of the driver's are in this container", "no nodes"),
        *("nodes alone", "some are this process's", "none is", "a bad one ends the list"),
        *("by its name", "a variable makes no device"),
    ],
)
def test_devices_are_those_that_a_process_here_can_have(tmp_path, minors, nodes, environ, found):
    """Numbered from 0 as people count them; `name` is what CUDA is told."""
    _machine(tmp_path, minors, nodes)
    devices = Devices(environ | {"PATH": ""}, tmp_path).find()
    assert [(str(each), each.name) for each in devices] == found
