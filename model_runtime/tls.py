"""TLS between a front end and a replica: who each believes, and the bytes of one connection.

Used at both ends: by tls_listener.py, and by servd's connecting end. Each end has a certificate
of its own and knows the other's; nobody else is believed, whoever signed for him. Standard library
only.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final, Literal

from model_runtime.keys import KeyFileError
from model_runtime.older import dataclass
from model_runtime.protocol import ProtocolError

RECORD_BYTES: Final = 1 << 14
"""The longest record of TLS, which is what one read returns at most."""

Role = Literal["replica", "frontend"]


class StrangerError(ProtocolError):
    """The other end is not who it is to be, or refuses this one; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What one end is and whom it believes: a context, and the other's certificate (DER)."""

    context: ssl.SSLContext
    other: bytes
    is_server: bool


def read_identity(folder: Path, role: Role) -> Identity:
    """Return the identity of a role by a folder's ROLE.crt and ROLE.key and the other's .crt (PEM).

    Raises:
        KeyFileError: a file is missing, or is not what its name says.
    """
    is_server = role == "replica"
    other_path = folder / ("frontend.crt" if is_server else "replica.crt")
    other = _read_certificate(other_path)
    own, key = folder / f"{role}.crt", folder / f"{role}.key"
    _read_certificate(own)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the certificate itself is known
    context.verify_mode = ssl.CERT_REQUIRED
    if is_server:
        context.num_tickets = 0  # connections last: none is resumed
    try:
        context.load_verify_locations(cadata=other)
    except ssl.SSLError as error:
        raise KeyFileError(f"{other_path} is no certificate: {error.reason}") from error
    try:
        key.read_bytes()
        context.load_cert_chain(own, key, password=_no_password)
    except ssl.SSLError as error:
        raise KeyFileError(
            f"{key} is no private key (PEM, without a password) of {own.name}: {error.reason}"
        ) from error
    except OSError as error:
        raise KeyFileError(f"{key} cannot be read: {error.strerror}") from error
    return Identity(context, other, is_server)


def _no_password() -> str:
    """Keep OpenSSL from asking a terminal."""
    return ""


def _read_certificate(path: Path) -> bytes:
    try:
        return ssl.PEM_cert_to_DER_cert(path.read_text("ascii"))
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise KeyFileError(f"{path} is no certificate in PEM: {error}") from error


class Session:
    """One connection's TLS, without a socket: what comes is given in, what goes is taken out.

    `is_open` once the handshake is over and the other end is known by its certificate. Nothing
    that came before that is handed on.
    """

    __slots__ = (
        "_incoming",
        "_other",
        "_outgoing",
        "_read",
        "_tls",
        "_write",
        "is_open",
    )

    def __init__(self, identity: Identity) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._other = identity.other
        self._tls = identity.context.wrap_bio(
            self._incoming, self._outgoing, server_side=identity.is_server
        )
        self._read = self._tls.read
        self._write = self._tls.write
        self.is_open = False

    def take(self, arrived: bytes | memoryview) -> bytes:
        """Return what bytes from the other end say; none where a record is not whole yet.

        Afterwards `outgoing` may have something to be sent, also where this raises.

        Raises:
            StrangerError: the other end is not believed, refuses this one, or does not speak TLS.
        """
        incoming = self._incoming
        incoming.write(arrived)
        try:
            if not self.is_open and not self._shake_hands():
                return b""
            if not incoming.pending:
                return b""
            said = self._read(RECORD_BYTES)
            return said + self._rest() if incoming.pending or not said else said
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLError as error:
            raise StrangerError(_reason(error)) from error

    def _rest(self) -> bytes:
        """Return what the records after the first say."""
        records = []
        try:
            while self._incoming.pending:
                record = self._read(RECORD_BYTES)
                if not record:
                    raise StrangerError("it has said goodbye")
                records.append(record)
        except ssl.SSLWantReadError:
            pass  # the rest of a record is still to come
        return b"".join(records)

    def outgoing(self) -> bytes:
        """Return what is to be sent now."""
        return self._outgoing.read()

    def begin(self) -> bytes:
        """Return the first bytes that a client sends."""
        self._shake_hands()
        return self._outgoing.read()

    def wrap(self, piece: bytes | memoryview) -> bytes:
        """Return what is to be sent in order to say something."""
        self._write(piece)
        return self._outgoing.read()

    def _shake_hands(self) -> bool:
        """Go on with the handshake; whether it is over."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        shown = self._tls.getpeercert(binary_form=True) or b""
        if shown != self._other:  # it may have been signed by the known one
            raise StrangerError("its certificate is another")
        self.is_open = True
        return True


def _reason(error: ssl.SSLError) -> str:
    """Return in words what OpenSSL found."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not the known one: {error.verify_message}"
    words = (error.reason or str(error)).lower().replace("_", " ")
    if "alert" in words:
        return f"it refuses this end's certificate ({words})"
    return words
