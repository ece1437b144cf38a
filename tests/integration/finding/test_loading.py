"""The process that looks at a target: whoever asked for it takes it along."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_LOOK = """
import sys
from pathlib import Path
from servd.packing.kinds import find
from servd.packing.targets import parse_target
find(parse_target(sys.argv[1]))
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_file_that_never_ends_its_import_ends_with_who_looks(tmp_path: Path, end: signal.Signals):
    """As one that calls `app.run()` at its top level, which would hold its port."""
    told = tmp_path / "pid"
    file = tmp_path / "app.py"
    file.write_text(
        "import os, time\n"
        f"open({str(told)!r}, 'w').write(str(os.getpid()))\n"
        "while True:\n    time.sleep(1)\n"
    )
    with subprocess.Popen([sys.executable, "-c", _LOOK, str(file)], cwd=tmp_path) as looking:
        until_s = time.monotonic() + 60
        while not (told.exists() and told.read_text()) and time.monotonic() < until_s:
            time.sleep(0.02)
        pid = int(told.read_text())
        assert Path(f"/proc/{pid}").exists()
        looking.send_signal(end)
    while _is_running(pid) and time.monotonic() < until_s:
        time.sleep(0.02)
    assert not _is_running(pid)


def _is_running(pid: int) -> bool:
    """Tell whether there is such a process that is no zombie."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
