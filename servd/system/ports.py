"""TCP ports: free ones, taken ones and who holds them. Used by the composition roots."""

import socket
from dataclasses import replace

import psutil

from servd.config import Config
from servd.errors import StartError

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - a lookup


def base_url(bind: str, port: int) -> str:
    """Return the URL by which a client on this machine reaches a port."""
    host = _ANY_ADDRESS.get(bind, bind)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def resolve_ports(config: Config) -> Config:
    """Return the configuration with a free port for each port 0.

    Raises:
        StartError: a port is taken, or the address is none of this machine's; says what to do.
    """
    query_port = probe(config.bind, config.query_port, "--query-port")
    admin_port = probe(config.bind, config.admin_port, "--admin-port")
    while admin_port == query_port:
        admin_port = probe(config.bind, 0, "--admin-port")
    return replace(config, query_port=query_port, admin_port=admin_port)


def free_port(config: Config, flag: str) -> Config:
    """Return the configuration with a free query port for port 0; there is no admin API.

    Raises:
        StartError: the port is taken, or the address is none of this machine's; says what to do.
    """
    return replace(config, query_port=probe(config.bind, config.query_port, flag))


def probe(bind: str, port: int, flag: str) -> int:
    """Return the port, or a free one for 0; serve_one.py asks it alone.

    Raises:
        StartError: it is taken, or the address is none of this machine's; says what to do.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            bind or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as sock:
            # As the servers do, or a port in TIME_WAIT would pass for taken.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(1)
            return int(sock.getsockname()[1])
    except OSError as error:
        raise _refusal(bind, port, flag, error) from error


def _refusal(bind: str, port: int, flag: str, error: OSError) -> StartError:
    if isinstance(error, PermissionError):
        return StartError(
            f"port {port} may only be used by root", hint=f"choose one above 1023: {flag} PORT"
        )
    if isinstance(error, socket.gaierror) or port == 0:
        return StartError(f"cannot listen on '{bind}': {error.strerror}", hint="--bind 127.0.0.1")
    holder = _holder(port)
    if holder is None and "in use" not in str(error):
        return StartError(f"cannot listen on {bind}:{port}: {error.strerror}")
    by = f" by {holder}" if holder else ""
    return StartError(f"port {port} is taken{by}", hint=f"choose another one: {flag} PORT")


def _holder(port: int) -> str | None:
    """Return the name and process id of who listens on a port, where it may be known."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            local = connection.laddr
            is_it = local and local.port == port and connection.status == psutil.CONN_LISTEN
            if is_it and connection.pid:
                return f"{_name(psutil.Process(connection.pid))} (pid {connection.pid})"
    except psutil.Error:
        pass
    return None


def _name(process: psutil.Process) -> str:
    # Every Python program is called python3; that of a module is known by what follows -m.
    words = process.cmdline()
    is_servd = "-m" in words and not {"servd", "servd.processes.frontend"}.isdisjoint(words)
    return "another servd" if is_servd else process.name()
