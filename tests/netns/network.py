"""A small network of hosts on this machine: a network namespace each, on a bridge in one more.

The bridge has its own namespace, as a Docker engine makes the machine's own refuse to forward.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

REPOSITORY = Path(__file__).parents[2]
CLONE_NEWNET = 0x40000000


def ip(*words: str) -> None:
    """Run one `ip` command; its complaint is part of the failure."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def obstacle() -> str:
    """Return why there can be no namespaces here; empty where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the ip command (Debian: iproute2)"
    name = f"sv{os.getpid()}-try"
    try:
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
    except RuntimeError as error:
        return str(error)
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return ""


def inside(namespace: str, function: Callable[[], Any]) -> Any:
    """Return what a function returns in another network namespace, in a thread that moves there."""
    result: list[Any] = []

    def work() -> None:
        try:
            enter(namespace)
            result.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again below
            result.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]


def enter(namespace: str) -> None:
    """Move this thread into a network namespace, for good."""
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(descriptor)


class Network:
    """Hosts by name; a context manager that leaves nothing behind.

    `zone` maps a name to the hosts whose addresses it has, everywhere at once.
    """

    def __init__(self, hosts: list[str], folder: Path) -> None:
        self._prefix = f"sv{os.getpid()}"
        self._folder = folder
        self._numbers = {host: number for number, host in enumerate(hosts, start=11)}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._logs: list[Path] = []

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        if exc_info[0] is not None:
            for path in self._logs:
                print(f"--- {path.name}\n{path.read_text()}")
        self._clear()

    def namespace(self, host: str) -> str:
        """Return the name of a host's namespace."""
        return f"{self._prefix}-{host}"

    def address(self, host: str) -> str:
        """Return a host's address."""
        return f"10.77.0.{self._numbers[host]}"

    def name(self, zone: dict[str, list[str]]) -> None:
        """Make names lead to hosts, in the place of all names of before."""
        lines = [f"{self.address(host)} {name}\n" for name, hosts in zone.items() for host in hosts]
        for host in self._numbers:
            # In place: the file is what `ip netns exec` has mounted over /etc/hosts.
            self._hosts_file(host).write_text("127.0.0.1 localhost\n" + "".join(lines))

    def start(self, host: str, *arguments: str, log: str) -> "subprocess.Popen[bytes]":
        """Run `python ARGUMENTS` on a host."""
        path = self._folder / log
        if path not in self._logs:
            self._logs.append(path)
        with path.open("ab") as file:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace(host), sys.executable, *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**_clean_environment(), "PYTHONPATH": str(REPOSITORY)},
            )
        self._processes.append(process)
        return process

    def cut(self, host: str) -> None:
        """Pull a host's cable."""
        ip("-n", self._bridge, "link", "set", f"v-{host}", "down")

    def heal(self, host: str) -> None:
        """Plug it in again."""
        ip("-n", self._bridge, "link", "set", f"v-{host}", "up")

    def drop(self, host: str, *, is_on: bool) -> None:
        """Let a host lose everything that comes in, or no longer."""
        verb = "-A" if is_on else "-D"
        rule = ["iptables", verb, "INPUT", "-i", "eth0", "-j", "DROP"]
        subprocess.run(["ip", "netns", "exec", self.namespace(host), *rule], check=True)

    @property
    def _bridge(self) -> str:
        return self.namespace("sw")

    def _hosts_file(self, host: str) -> Path:
        return Path("/etc/netns") / self.namespace(host) / "hosts"

    def _build(self) -> None:
        ip("netns", "add", self._bridge)
        ip("-n", self._bridge, "link", "add", "br0", "type", "bridge")
        ip("-n", self._bridge, "link", "set", "br0", "up")
        for host in self._numbers:
            own, cable = self.namespace(host), f"v-{host}"
            ip("netns", "add", own)
            end = ("peer", "name", "eth0", "netns", own)
            ip("-n", self._bridge, "link", "add", cable, "type", "veth", *end)
            ip("-n", self._bridge, "link", "set", cable, "master", "br0", "up")
            ip("-n", own, "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                ip("-n", own, "link", "set", link, "up")
            self._hosts_file(host).parent.mkdir(parents=True)
        self.name({})

    def _clear(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for host in ["sw", *self._numbers]:
            subprocess.run(
                ["ip", "netns", "del", self.namespace(host)], capture_output=True, check=False
            )
            shutil.rmtree(self._hosts_file(host).parent, ignore_errors=True)


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SERVD_")}
