"""Bundles travel unchanged; hostile tars are refused."""

import io
import tarfile

import pytest

from model_runtime import bundle, manifest
from model_runtime.bundle import BundleFormatError
from tests.replicas import bundle_tar


def make(folder):
    """Make a small bundle."""
    (folder / "files" / "sub").mkdir(parents=True)
    (folder / "files" / "func.py").write_text("def f(x): return x\n")
    (folder / "files" / "sub" / "data.bin").write_bytes(bytes(3000))
    manifest.write(
        manifest.Manifest(loader="python", kind="function", file="func.py", object="f"), folder
    )
    return folder


def tar_of(*members):
    """Return a tar of (name, type, content) members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    return io.BytesIO(buffer.getvalue())


def test_pack_and_unpack_keep_the_digest(tmp_path):
    """What is unpacked has the digest of what was packed; compiled files do not count."""
    source = make(tmp_path / "a")
    digest = bundle.digest_of(source)
    data = bundle_tar(source)
    bundle.unpack(io.BytesIO(data), tmp_path / "b", 10**6)
    (source / "files" / "__pycache__").mkdir()
    (source / "files" / "__pycache__" / "func.pyc").write_bytes(b"x")
    assert bundle.digest_of(tmp_path / "b") == digest == bundle.digest_of(source)
    assert bundle_tar(tmp_path / "b") == data == bundle_tar(source)
    assert manifest.read(tmp_path / "b").object == "f"
    (source / "files" / "func.py").write_text("")
    assert bundle.digest_of(source) != digest


MODEL = ("model.json", tarfile.REGTYPE, b"{}")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("/etc/x", tarfile.REGTYPE, b"")], "is not a path"),
        ([("files/../../x", tarfile.REGTYPE, b"")], "is not a path"),
        ([("../x", tarfile.REGTYPE, b"")], "is not a path"),
        ([("other/x", tarfile.REGTYPE, b"")], "none of model.json, environment.lock, nor below"),
        ([("files/x", tarfile.SYMTYPE, b"")], "a link or a device"),
        ([("files/x", tarfile.LNKTYPE, b"")], "a link or a device"),
        ([("files/x", tarfile.CHRTYPE, b"")], "a link or a device"),
        ([("files/x", tarfile.FIFOTYPE, b"")], "a link or a device"),
        ([("files/x", tarfile.REGTYPE, b""), ("files/x", tarfile.REGTYPE, b"")], "twice"),
        (
            [("files/x", tarfile.REGTYPE, b""), ("files/x/y", tarfile.REGTYPE, b"")],
            "both a file and a folder",
        ),
        (
            [("files/x/y", tarfile.REGTYPE, b""), ("files/x", tarfile.REGTYPE, b"")],
            "both a file and a folder",
        ),
        ([("files/__pycache__/x.pyc", tarfile.REGTYPE, b"")], "is not a path"),
        ([("files/" + "x" * 300, tarfile.REGTYPE, b"")], "too long"),
        ([("files/a\nb", tarfile.REGTYPE, b"")], "is not a path"),
        ([("files/big", tarfile.REGTYPE, bytes(20_000))], "more than 10000 bytes"),
    ],
)
def test_hostile_members_are_refused(tmp_path, members, words):
    """Nothing is written outside the folder and nothing but plain files inside."""
    with pytest.raises(BundleFormatError, match=words):
        bundle.unpack(tar_of(MODEL, *members), tmp_path / "in", 10_000)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("cut", [0, 1, 100, 600, 1100, 2500])
def test_damaged_tars_are_refused(tmp_path, cut):
    """A tar that ends too early is refused."""
    data = bundle_tar(make(tmp_path / "a"))[:cut]
    with pytest.raises(BundleFormatError, match=r"not a sound tar file|no model.json"):
        bundle.unpack(io.BytesIO(data), tmp_path / "b", 10**6)


class Endless(io.RawIOBase):
    """A tar that begins with some bytes and goes on with zeros; it counts what is read of it."""

    def __init__(self, begin):
        super().__init__()
        self.begin = begin
        self.count = 0

    def read(self, size=-1):
        """Return the next bytes."""
        assert size >= 0
        piece = self.begin[self.count : self.count + size]
        self.count += size
        return piece + bytes(size - len(piece))


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    ],
)
def test_a_header_that_extends_another_is_not_read_whole(tmp_path, kind):
    """One of 400 MB would be held in memory, several times, before anybody is asked."""
    header = tarfile.TarInfo("long")
    header.type, header.size = kind, 400_000_000
    source = Endless(header.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(BundleFormatError, match="a header in the bundle has 400000000 bytes"):
        bundle.unpack(source, tmp_path / "in", 10**10)
    assert source.count < 100_000


def test_the_longest_path_that_is_allowed_is_packed_and_unpacked(tmp_path):
    """What extends headers is bounded far above what paths need."""
    folder = make(tmp_path / "a")
    deep = folder / "files"
    for _ in range(4):
        deep /= "é" * 115
    deep.mkdir(parents=True)
    (deep / "x").write_bytes(b"x")
    bundle.unpack(io.BytesIO(bundle_tar(folder)), tmp_path / "b", 10**6)
    assert bundle.digest_of(tmp_path / "b") == bundle.digest_of(folder)


def test_links_are_not_packed(tmp_path):
    """A link in the folder is an error, not a copy of what it leads to."""
    source = make(tmp_path / "a")
    (source / "files" / "link").symlink_to("/etc/passwd")
    with pytest.raises(BundleFormatError, match="link"):
        bundle_tar(source)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"loader": "shell"},
        {"kind": "pickle"},
        {"object": None},
        {"input_type": "complex"},
        {"file": "../x.py"},
        {"file": "/x.py"},
        {"sys_path": ["../.."]},
        {"sys_path": [1]},
        {"sys_path": "."},
        {"as_lists": 1},
        {"packages": {"a": 1}},
        {"environment": "venv"},
        {"environment": {}},
        {"environment": {"python": "3.12.1"}},
        {"environment": {"interpreter": "/usr/bin/python3"}},
        {"environment": {"python": 3.12, "interpreter": "/usr/bin/python3"}},
        {"environment": {"python": "3.12.1", "interpreter": "bin/python"}},
        {"environment": {"python": "3.12.1", "interpreter": "/bin/py\0thon"}},
        {"environment": {"python": "3.12.1", "lock": "../environment.lock"}},
        {"environment": {"python": "3.12.1", "lock": "/etc/passwd"}},
        {"environment": {"python": "3.12.1", "lock": "files/func.py"}},
        {"environment": {"python": "3.12.1", "lock": "environment.lock", "interpreter": "/a"}},
    ],
)
def test_wrong_manifests_are_refused(change):
    """Each wrong value is refused."""
    right = {"format": 1, "loader": "python", "kind": "function", "file": "f.py", "object": "f"}
    manifest.parse(right)
    with pytest.raises(BundleFormatError, match=r"^model\.json"):
        manifest.parse(right | change)


def test_a_bundle_holds_the_lock_of_its_environment(tmp_path):
    """It travels beside model.json, counts in the digest, and has to be there where it is named."""
    source = make(tmp_path / "a")
    plain = bundle.digest_of(source)
    made = manifest.read(source)
    told = {"python": "3.12.1", "lock": bundle.LOCK_NAME}
    locked = manifest.Manifest(
        loader=made.loader, kind=made.kind, file=made.file, object=made.object, environment=told
    )
    manifest.write(locked, source)
    with pytest.raises(BundleFormatError, match=r"names 'environment\.lock', which is not there"):
        manifest.read(source)
    lock = source / bundle.LOCK_NAME
    lock.write_text("numpy==2.1.0\n")
    first = bundle.digest_of(source)
    lock.write_text("numpy==2.1.1\n")
    assert len({plain, first, bundle.digest_of(source)}) == 3
    bundle.unpack(io.BytesIO(bundle_tar(source)), tmp_path / "b", 10**6)
    assert (tmp_path / "b" / bundle.LOCK_NAME).read_text() == "numpy==2.1.1\n"
    assert manifest.read(tmp_path / "b").environment == told


def test_a_bundle_without_an_environment_keeps_its_digest(tmp_path):
    """What runs in the server's own environment says nothing of it, as ever."""
    source = make(tmp_path / "a")
    assert b"environment" not in (source / bundle.MANIFEST_NAME).read_bytes()
    assert manifest.read(source).environment is None
