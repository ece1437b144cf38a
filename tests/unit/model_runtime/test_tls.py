"""TLS without a socket: what goes in and comes out of both ends; whom they believe."""

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from model_runtime.framing import Assembler, prefix
from model_runtime.keys import KeyFileError
from model_runtime.protocol import ProtocolError
from model_runtime.tls import Session, StrangerError, read_identity
from servd.carriers import certificates as certificates_module
from servd.carriers.certificates import FRONTEND_FILES, REPLICA_FILES, write_certificates
from servd.carriers.certificates import read_identity as read_frontend
from servd.errors import ConfigError


def certificates(folder):
    """Return a folder with new files."""
    write_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Return a folder whose certificates know each other."""
    return certificates(tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Return a folder of strangers."""
    return certificates(tmp_path_factory.mktemp("other"))


def shake(client, server, cut=10_000):
    """Let both ends shake hands, in pieces of so many bytes."""
    going = [client.begin(), b""]
    ends = (server, client)
    while any(going):
        for number, end in enumerate(ends):
            data, going[number] = going[number], b""
            for at in range(0, len(data), cut):
                try:
                    said = end.take(data[at : at + cut])
                finally:
                    going[1 - number] += end.outgoing()
                assert said == b""


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 6, 7, 50, 1000])
def test_messages_are_whole_whatever_they_are_cut_into(known, cut):
    """The handshake and all records, each of a piece of so many bytes, in both directions."""
    client = Session(read_identity(known, "frontend"))
    server = Session(read_identity(known, "replica"))
    shake(client, server, cut)
    assert client.is_open
    assert server.is_open
    messages = [[b"h"], [b"head", bytes(40_000)], [b"h", b"d", b"lens"], [b"x" * 100]]
    for one, two in ((client, server), (server, client)):
        come, assembler = [], Assembler()
        hidden = b"".join(one.wrap(prefix(*frames) + b"".join(frames)) for frames in messages)
        for at in range(0, len(hidden), cut):
            said = two.take(hidden[at : at + cut])
            come += assembler.feed(said) if said else []
        assert come == messages


def test_a_message_may_be_cut_at_each_of_its_bytes(known):
    """In two pieces, wherever the cut is."""
    client = Session(read_identity(known, "frontend"))
    server = Session(read_identity(known, "replica"))
    shake(client, server)
    for at in range(60):
        hidden = client.wrap(b"what is said") + client.wrap(b", twice")
        assert server.take(hidden[:at]) + server.take(hidden[at:]) == b"what is said, twice"


def test_nothing_but_the_newest_protocol_is_spoken(known):
    """What is older has faults that are known."""
    for role in ("frontend", "replica"):
        assert read_identity(known, role).context.minimum_version is ssl.TLSVersion.TLSv1_3


def test_strangers_are_not_believed(known, other):
    """Neither by the replica, nor by the front end; each is told."""
    pairs = [(other, known), (known, other)]
    for frontends, replicas in pairs:
        client = Session(read_identity(frontends, "frontend"))
        server = Session(read_identity(replicas, "replica"))
        with pytest.raises(StrangerError, match="its certificate is not the known one"):
            shake(client, server)
        assert not (client.is_open and server.is_open)


def test_a_replica_that_refuses_says_so(known, other, tmp_path):
    """A front end that the replica does not know hears that its certificate is refused."""
    folder = tmp_path / "mixed"  # it knows the replica, but is not known to it
    folder.mkdir()
    for name, place in (("replica.crt", known), ("frontend.crt", other), ("frontend.key", other)):
        (folder / name).write_text((place / name).read_text())
    client = Session(read_identity(folder, "frontend"))
    server = Session(read_identity(known, "replica"))
    answer = server_hello = b""
    server.take(client.begin())
    server_hello = server.outgoing()
    client.take(server_hello)
    with pytest.raises(StrangerError, match="not the known one"):
        server.take(client.outgoing() + client.wrap(b"hello"))
    answer = server.outgoing()
    with pytest.raises(StrangerError, match="refuses this end's certificate"):
        client.take(answer)
    assert not server.is_open


def test_whoever_shows_no_certificate_is_refused(known):
    """A client that knows the replica's certificate is no front end by that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(known / "replica.crt")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing)
    server = Session(read_identity(known, "replica"))
    with pytest.raises(ssl.SSLWantReadError, match="did not complete"):
        client.do_handshake()
    server.take(outgoing.read())
    incoming.write(server.outgoing())
    client.do_handshake()
    client.write(b"let me in")
    with pytest.raises(StrangerError, match="peer did not return a certificate"):
        server.take(outgoing.read())
    assert not server.is_open


def test_a_certificate_signed_by_the_known_one_is_another(tmp_path):
    """Only the certificate itself is believed."""
    # A known certificate that may sign, as those of `openssl req -x509` may.
    folder = certificates(tmp_path / "signing")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signs")])

    def certificate(of, subject, is_authority):
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(name)
        builder = builder.public_key(of.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(certificates_module._FROM).not_valid_after(
            certificates_module._UNTIL
        )
        limits = x509.BasicConstraints(ca=is_authority, path_length=None)
        signed = builder.add_extension(limits, critical=True).sign(key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    own = ec.generate_private_key(ec.SECP256R1())
    (folder / "frontend.crt").write_bytes(certificate(key, name, is_authority=True))
    server = Session(read_identity(folder, "replica"))
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signed")])
    (folder / "frontend.crt").write_bytes(certificate(own, subject, is_authority=False))
    (folder / "frontend.key").write_bytes(
        own.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    client = Session(read_identity(folder, "frontend"))
    with pytest.raises(StrangerError, match="its certificate is another"):
        shake(client, server)
    assert not server.is_open


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "http request"),
        (b"\0" * 100, "wrong version number"),
        (b"\xff\0\0\0\1\x7f", "wrong version number"),
    ],
)
def test_what_is_no_tls_is_refused(known, data, told):
    """HTTP, a ZeroMQ greeting, noise: an error that the carriers know."""
    server = Session(read_identity(known, "replica"))
    with pytest.raises(ProtocolError, match=told):
        server.take(data)


def test_a_forged_record_ends_the_session(known):
    """A byte that was changed on the way is noticed."""
    client = Session(read_identity(known, "frontend"))
    server = Session(read_identity(known, "replica"))
    shake(client, server)
    hidden = bytearray(client.wrap(b"pay 10"))
    hidden[-3] ^= 1
    with pytest.raises(StrangerError, match="bad record mac"):
        server.take(bytes(hidden))


def test_a_goodbye_is_an_end(known):
    """Whatever follows it."""
    client = Session(read_identity(known, "frontend"))
    server = Session(read_identity(known, "replica"))
    shake(client, server)
    with pytest.raises(ssl.SSLWantReadError, match="did not complete"):
        client._tls.unwrap()
    with pytest.raises(StrangerError, match="goodbye"):
        server.take(client.outgoing() + b"\x17\x03\x03\0\1!")


def test_files_are_for_their_owner_and_made_anew(tmp_path):
    """Four files; writing them again makes other certificates."""
    folder = certificates(tmp_path / "keys")
    names = ["frontend.crt", "frontend.key", "replica.crt", "replica.key"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    before = (folder / "replica.crt").read_text()
    assert (certificates(folder) / "replica.crt").read_text() != before


@pytest.mark.parametrize("content", [None, "", "short", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
@pytest.mark.parametrize("name", ["replica.crt", "replica.key", "frontend.crt", "frontend.key"])
def test_wrong_files_are_named(tmp_path, name, content):
    """By whoever needs them; a file that an end does not need is not missed."""
    folder = certificates(tmp_path)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    for needed, read, error in (
        (REPLICA_FILES, lambda: read_identity(folder, "replica"), KeyFileError),
        (FRONTEND_FILES, lambda: read_frontend(folder), ConfigError),
    ):
        if name in needed:
            with pytest.raises(error, match=name.replace(".", r"\.")):
                read()
        else:
            read()


def test_a_key_of_another_certificate_is_named(tmp_path, other):
    """And one with a password is no key here: nobody could type it."""
    folder = certificates(tmp_path)
    Path(folder / "replica.key").write_text((other / "replica.key").read_text())
    with pytest.raises(KeyFileError, match=r"replica\.key is no private key .* of replica\.crt"):
        read_identity(folder, "replica")


def test_the_library_that_makes_them_is_named(monkeypatch, tmp_path):
    """It is wanted only where certificates are made."""
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(ConfigError, match="the library 'cryptography', which is not installed"):
        write_certificates(tmp_path)
