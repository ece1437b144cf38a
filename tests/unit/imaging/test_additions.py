"""What may be added to an image, and what is refused before anything is built."""

import zipfile

import pytest

from servd.errors import InvalidValueError
from servd.imaging.additions import Additions, without_secret


@pytest.fixture
def wheel(tmp_path):
    """Return a file that is a wheel by its name and is a zip archive."""
    path = tmp_path / "Our_Lib-1.0+cpu-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("our_lib.py", "")
    return path


def test_what_can_be_built_is_taken(tmp_path, wheel):
    """Names are compared as indexes do; comments, continued lines and hashes are understood."""
    (tmp_path / "r.txt").write_text(
        "# ours\nNumPy>=1.26,<3  # for the model\n\ntorch==2.1.0+cpu \\\n    --hash=sha256:abc\n"
        "A.b[extra] ; python_version > '3.8'\nx @ https://packages.example/x.whl\nplain\n"
    )
    added = Additions(
        requirements=tmp_path / "r.txt",
        extra_index=("https://packages.example/simple", "http://10.0.0.1:8080/simple/"),
        wheel=(wheel,),
        apt=("libgomp1", "libpq5=15.4-0+deb12u1", "gcc:arm64", "g++"),
    )
    assert added.lines() == {
        "numpy": "NumPy>=1.26,<3",
        "torch": "torch==2.1.0+cpu",
        "a-b": "A.b[extra] ; python_version > '3.8'",
        "x": "x @ https://packages.example/x.whl",
        "plain": "plain",
    }
    assert added.wheels() == {"our-lib": wheel}
    assert not added.has_secrets
    assert added.plain_hosts == ("10.0.0.1:8080",)
    front = added.for_front_end()
    assert (front.extra_index, front.wheel, front.apt) == (added.extra_index, (), ())


@pytest.mark.parametrize(
    ("line", "said", "hint"),
    [
        ("-r other.txt", "'-r other.txt' cannot be installed", "lines of that file"),
        ("-e ./lib", "'-e ./lib' cannot be installed", "--wheel FILE"),
        ("--extra-index-url https://u:p@x/", "https://…@x/", "--extra-index URL"),
        ("./lib/x.whl", "'./lib/x.whl' cannot be installed", "--wheel FILE"),
        ("x @ file:///home/x.whl", "'file:///home/x.whl' cannot be", "--wheel FILE"),
        ("x @ https://me:secret@h/x.whl", "holds a name or a password", "--wheel FILE"),
        ("git+https://h/x.git", "'git\\+https://h/x.git' cannot be", "--wheel FILE"),
        ("a b c", "'a b c' cannot be", "--wheel FILE"),
    ],
)
def test_lines_that_an_image_cannot_follow_are_refused(tmp_path, line, said, hint):
    """With what to do instead; a password is not shown."""
    (tmp_path / "r.txt").write_text(f"numpy\n{line}\n")
    with pytest.raises(InvalidValueError, match=said) as caught:
        Additions(requirements=tmp_path / "r.txt")
    assert hint in caught.value.hint
    assert "secret" not in caught.value.message + caught.value.hint
    assert "u:p" not in caught.value.message + caught.value.hint


def test_a_file_that_is_none_is_refused(tmp_path):
    """Missing, not text, too large."""
    with pytest.raises(InvalidValueError, match="No such file"):
        Additions(requirements=tmp_path / "none.txt")
    (tmp_path / "r.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidValueError, match="not UTF-8"):
        Additions(requirements=tmp_path / "r.txt")
    (tmp_path / "r.txt").write_bytes(b"# long\n" * 200_000)
    with pytest.raises(InvalidValueError, match="too large"):
        Additions(requirements=tmp_path / "r.txt")


@pytest.mark.parametrize(
    "package", ["", "-y", "Lib", "a;reboot", "a b", "$(x)", "a\nb", "../x", "a=1;x", "a&&b"]
)
def test_what_is_no_debian_package_is_refused(package):
    """It would be in a line for a shell."""
    with pytest.raises(InvalidValueError, match="no name of a Debian package"):
        Additions(apt=(package,))


@pytest.mark.parametrize(
    "url",
    ["", "packages.example", "ftp://x/", "https://", "https://x/ y", "https://x/$(id)", "https:///p",
     "https://x/'; id'", "https://x/\nFROM y", "https://me:secret@x/`id`"],
)  # fmt: skip
def test_what_is_no_index_is_refused(url):
    """It would be in a line for a shell; a password is not shown."""
    with pytest.raises(InvalidValueError, match="not the URL of a package index") as caught:
        Additions(extra_index=(url,))
    assert "secret" not in caught.value.message


def test_what_is_no_wheel_is_refused(tmp_path):
    """Missing, misnamed, or something else inside."""
    with pytest.raises(InvalidValueError, match="there is no such file"):
        Additions(wheel=(tmp_path / "x-1-py3-none-any.whl",))
    (tmp_path / "x.whl").write_bytes(b"")
    with pytest.raises(InvalidValueError, match="a wheel's name is NAME-VERSION"):
        Additions(wheel=(tmp_path / "x.whl",))
    (tmp_path / "x-1-py3-none-any.whl").write_bytes(b"no zip")
    with pytest.raises(InvalidValueError, match="is not a wheel"):
        Additions(wheel=(tmp_path / "x-1-py3-none-any.whl",))


def test_secrets_are_told_apart():
    """Names and passwords of indexes leave their URLs, nothing else does."""
    added = Additions(
        extra_index=("https://me:p%40ss@h:8/simple", "https://token@h/x", "https://h")
    )
    assert added.has_secrets
    assert added.without_secrets().extra_index == ("https://h:8/simple", "https://h/x", "https://h")
    assert not added.without_secrets().has_secrets
    assert without_secret("https://h/a@b") == "https://h/a@b"
