"""Which folder and which process something was written by. Used wherever a data directory is read.

A data directory may be copied, with all that a daemon keeps in it, while the daemon runs: paths and
process ids in the copy speak of the original. A folder is told from its copy by the device and
inode that it has, a process from a later one of its number by when it started.
"""

from pathlib import Path


def folder_id(folder: Path) -> str:
    """Return what tells a folder from any copy of it; a folder that is moved keeps it.

    Raises:
        OSError: there is no such folder.
    """
    stat = folder.stat()
    return f"{stat.st_dev:x}:{stat.st_ino:x}"


def is_of(folder: Path, identity: object) -> bool:
    """Return whether a note in a folder was written for that folder, and not for its original."""
    try:
        return identity == folder_id(folder)
    except OSError:
        return False


def process_id(pid: int) -> str | None:
    """Return what tells a process from others that have or had its number; None where it is gone.

    That is the boot and the clock tick in which it began (proc(5), field 22 of `stat`).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # The name of the program may hold blanks and parentheses.
    return f"{boot}:{stat.rpartition(')')[2].split()[19]}"
