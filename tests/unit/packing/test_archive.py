"""The tar of a bundle, made of files where they lie."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_runtime.bundle import digest_of, unpack
from servd.errors import BundleError
from servd.packing.archive import Packed
from tests.replicas import bundle_tar

LONG = "files/" + "/".join(["a" * 90] * 3) + "/é.py"


@given(
    st.dictionaries(
        st.sampled_from(["files/a.py", "files/b/c.bin", "files/é.txt", LONG]),
        st.binary(max_size=3000),
    )
)
def test_it_is_what_a_folder_of_the_files_would_be(tmp_path_factory, files):
    """Byte for byte, with the size and the digest that are told before; names of any length."""
    folder = tmp_path_factory.mktemp("bundle")
    files = {**files, "model.json": b"{}"}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    of_disk = Packed.of_folder(folder)
    of_memory = Packed.of(files.items())
    for packed in (of_disk, of_memory):
        tar = b"".join(packed.chunks())
        assert tar == bundle_tar(folder)
        assert packed.size == len(tar)
        assert packed.digest() == digest_of(folder)
    unpack(io.BytesIO(tar), folder / "again", 10**6)
    assert digest_of(folder / "again") == packed.digest()


@pytest.mark.parametrize("content", [b"", b"xx", b"xxxx"], ids=["gone", "shorter", "longer"])
def test_a_file_that_changes_while_it_is_sent_ends_it(tmp_path, content):
    """Its size was promised: nothing else may follow under the same length."""
    path = tmp_path / "a"
    path.write_bytes(b"xxx")
    packed = Packed.of([("files/a", path)])
    path.write_bytes(content)
    with pytest.raises(BundleError, match="was changed while it was sent"):
        list(packed.chunks())
