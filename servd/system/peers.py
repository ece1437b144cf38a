"""Whose process is at the other end of a connection on this machine. Used by http/admin/guard.py,
hub.py and client/admin.py.

A unix socket's peer is told by SO_PEERCRED. Of a TCP peer on loopback the kernel is asked for the
owner of the socket at the other end: by one question about that very socket (sock_diag), and where
a sandbox does not answer these, by the tables in /proc/net.
"""

import ipaddress
import os
import socket
import struct
from pathlib import Path
from typing import Final

Endpoint = tuple[str, int]
"""An address and a port."""

ROOT: Final = 0
_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_ALL_STATES: Final = 0xFFF
_NO_COOKIE: Final = (0xFFFFFFFF, 0xFFFFFFFF)
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBBI")
_PORTS: Final = struct.Struct("!HH")
_MESSAGE_PORTS_AT: Final = 4
_MESSAGE_UID_AT: Final = 64
_MAX_MESSAGE: Final = 8192
_TIMEOUT_S: Final = 1.0
_TABLES: Final = {4: ("tcp", "tcp6"), 6: ("tcp6",)}
_MAX_TABLE_BYTES: Final = 64 * 1024 * 1024
"""Some 400,000 connections: whoever opens more than that is not waited for."""


def may_act(uid: int | None) -> bool:
    """Return whether a user may do what this process's own user may: itself, and root."""
    return uid is not None and uid in (ROOT, os.geteuid())


def unix_peer(sock: socket.socket) -> tuple[int, int]:
    """Return the process and the user at the other end of a connected unix socket."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", credentials)
    return pid, uid


def is_local(remote: Endpoint) -> bool:
    """Return whether a peer is on this machine's loopback."""
    try:
        return _plain(remote[0]).is_loopback
    except ValueError:
        return False


def tcp_uid(local: Endpoint, remote: Endpoint) -> int | None:
    """Return the user who holds the socket at the other end; None where that cannot be known.

    `local` and `remote` are this end's name and peer. A peer that has closed its socket already
    belongs to nobody: the kernel then says user 0, which is not believed. May block for a second.
    """
    try:
        return _ask_kernel(local, remote)
    except OSError:
        return _search_tables(local, remote)


def _ask_kernel(local: Endpoint, remote: Endpoint) -> int | None:
    # The question is about the peer's socket, so source and destination are turned round.
    source, target = _plain(remote[0]), _plain(local[0])
    family = socket.AF_INET if source.version == 4 else socket.AF_INET6
    pair = b"".join(address.packed.ljust(16, b"\0") for address in (source, target))
    ports = _PORTS.pack(remote[1], local[1])
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES)
    body += ports + pair + struct.pack("=III", 0, *_NO_COOKIE)
    head = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _SOCK_DIAG) as kernel:
        kernel.settimeout(_TIMEOUT_S)
        kernel.send(head + body)
        answer = kernel.recv(_MAX_MESSAGE)
    kind = _HEADER.unpack_from(answer)[1]
    if kind != _SOCK_DIAG_BY_FAMILY:
        raise OSError(f"the kernel answers sock_diag with {kind}")
    message = answer[_HEADER.size :]
    # Without such a socket, one that listens there may be named instead.
    if message[_MESSAGE_PORTS_AT : _MESSAGE_PORTS_AT + _PORTS.size] != ports:
        return None
    uid, inode = struct.unpack_from("=II", message, _MESSAGE_UID_AT)
    return uid if inode else None


def _search_tables(local: Endpoint, remote: Endpoint) -> int | None:
    for name in _TABLES[_plain(remote[0]).version]:
        row = f" {_hex(remote, name)} {_hex(local, name)} ".encode()
        try:
            with Path("/proc/net", name).open("rb") as table:
                found = table.read(_MAX_TABLE_BYTES)
        except OSError:
            continue
        at = found.find(row)
        if at >= 0:
            fields = found[at + len(row) :].partition(b"\n")[0].split()
            uid, inode = int(fields[4]), int(fields[6])
            return uid if inode else None
    return None


def _hex(end: Endpoint, table: str) -> str:
    """Return an end as the tables write it: words of the machine's byte order, in hex."""
    address = _plain(end[0])
    packed = address.packed
    if address.version == 4 and table == "tcp6":
        packed = b"\0" * 10 + b"\xff\xff" + packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return f"{''.join(f'{word:08X}' for word in words)}:{end[1]:04X}"


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address without its zone, and of an IPv4 address in IPv6 clothes the former."""
    plain = ipaddress.ip_address(address.partition("%")[0])
    return (plain.version == 6 and plain.ipv4_mapped) or plain
