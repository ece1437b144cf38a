"""Certificates: what secures `tls://` between front ends and replicas, as curve.py's keys do `tcp://`.

Four files in PEM: `replica.crt`, `replica.key`, `frontend.crt`, `frontend.key`. Nobody signs for
anybody: each end knows the other's certificate itself (model_runtime/tls.py).
"""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Final

from model_runtime import tls
from model_runtime.keys import KeyFileError
from servd.carriers.curve import write_key_files
from servd.errors import ConfigError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

REPLICA_FILES: Final = ("replica.crt", "replica.key", "frontend.crt")
"""What a replica needs. It never gets the frontend's key."""

FRONTEND_FILES: Final = ("replica.crt", "frontend.crt", "frontend.key")
"""What a frontend needs. It never gets the replica's key."""

_FROM: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_UNTIL: Final = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
"""RFC 5280, 4.1.2.5: the date of a certificate without an end. Time alone is to stop no cluster."""


def generate() -> dict[str, str]:
    """Return the texts of four new files by name.

    Raises:
        ConfigError: the library that makes them is not installed.
    """
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - front ends do without
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ConfigError(
            "certificates are made by the library 'cryptography', which is not installed",
            hint="pip install cryptography",
        ) from error
    texts: dict[str, str] = {}
    for role in ("replica", "frontend"):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(f"servd {role}", key)
        texts[f"{role}.crt"] = certificate.public_bytes(serialization.Encoding.PEM).decode()
        texts[f"{role}.key"] = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
    return texts


def _certificate(name: str, key: "EllipticCurvePrivateKey") -> "x509.Certificate":
    """Return a certificate that a key has signed for itself, and that can sign for no other."""
    from cryptography import x509  # noqa: PLC0415 - `generate` has asked whether it is there
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - as above

    own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def write_certificates(folder: Path) -> None:
    """Write four new files that only the owner may read, replacing those there are."""
    write_key_files(folder, generate())


def read_identity(folder: Path) -> tls.Identity:
    """Return who a frontend is by a folder.

    Raises:
        ConfigError: a file is missing or is not what its name says; the message names it.
    """
    try:
        return tls.read_identity(folder, "frontend")
    except KeyFileError as error:
        raise ConfigError(
            str(error), hint=f"the folder must hold {', '.join(FRONTEND_FILES)}"
        ) from error
