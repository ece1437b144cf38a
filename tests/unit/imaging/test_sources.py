"""Packages that no index has come along as they are installed."""

import sys
import zipfile

import pytest

from servd.imaging.additions import Additions
from servd.imaging.packages import plan_packages
from servd.imaging.sources import source_of

GIT = {"url": "https://me:secret@git.example/x.git", "vcs_info": {"vcs": "git", "commit_id": "a"}}
EDITABLE = {"url": "file:///home/me/ourlib", "dir_info": {"editable": True}}


@pytest.mark.parametrize(
    ("version", "direct", "origin"),
    [
        ("2.1.0+cpu", None, "has a local version"),
        ("1.0", GIT, "was installed from git (https://git.example/x.git)"),
        ("1.0", EDITABLE, "is installed in editable mode (file:///home/me/ourlib)"),
        ("1.0", {"url": "file:///x", "dir_info": {}}, "was installed from file:///x"),
        (
            "1.0",
            {"url": "https://h/x.whl", "archive_info": {}},
            "was installed from https://h/x.whl",
        ),
    ],
)
def test_where_a_package_came_from_is_told(site, version, direct, origin):
    """By its version or by what its installer has noted; no password is."""
    site.install("ourlib", version, direct)
    found = source_of("ourlib")
    assert found.origin.startswith(origin)
    assert found.problem == ""


def test_what_may_come_from_an_index_stays_with_it(site):
    """Nothing is known against it."""
    site.install("ourlib")
    assert source_of("ourlib") is None
    assert source_of("no-such-package") is None


def test_an_editable_package_is_packed_from_its_source(site, tmp_path, monkeypatch):
    """Its installation holds a reference only."""
    source = tmp_path / "ourlib" / "src"
    (source / "ourlib" / "inner").mkdir(parents=True)
    (source / "ourlib" / "__init__.py").write_text("")
    (source / "ourlib" / "inner" / "deep.py").write_text("A = 2\n")
    (source / "ourlib" / "__pycache__").mkdir()
    (source / "ourlib" / "__pycache__" / "x.pyc").write_bytes(b"")
    site.install("ourlib", direct=EDITABLE, files={"__editable__.ourlib.pth": str(source)})
    monkeypatch.syspath_prepend(str(source))
    assert sorted(source_of("ourlib").files) == ["ourlib/__init__.py", "ourlib/inner/deep.py"]


def test_compiled_files_are_for_this_platform(site):
    """As its own wheel said, or else as this Python is."""
    files = {"fast/__init__.py": "", "fast/core.so": "ELF"}
    tag = "cp311-cp311-manylinux_2_17_x86_64"
    site.install("fast", "1.0+x", files=files, wheel=f"Wheel-Version: 1.0\nTag: {tag}\n")
    assert source_of("fast").filename == f"fast-1.0+x-{tag}.whl"
    site.install("faster", "1.0+x", files={"faster.so": "ELF"})
    here = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert source_of("faster").filename.startswith(f"faster-1.0+x-{here}-{here}-linux_")


def test_changed_source_is_another_package(site):
    """The digest names the image: what is edited must not pass for what was built before."""
    site.install("ourlib", direct=EDITABLE)
    before = source_of("ourlib").digest
    source_of.cache_clear()
    assert source_of("ourlib").digest == before
    (site.folder / "ourlib" / "__init__.py").write_text("VALUE = 'new'\n")
    assert source_of("ourlib").digest != before


def test_a_package_comes_from_where_it_can_be_had(site):
    """What no index has is a wheel, also where another brings it along; the rest is pinned."""
    site.install("ourlib", "0.1", EDITABLE)
    site.install("fastnet", "2.1.0+cpu")
    here = {
        "model": ("1.0", ("fastnet", "other")),
        "fastnet": ("2.1.0+cpu", ()),
        "other": ("3", ()),
    }
    pins = {"ourlib": "0.1", "model": "1.0"}
    planned = plan_packages("replica", pins, Additions(), lookup=here.get)
    assert planned.required == [
        "fastnet @ file:///opt/servd/wheels/fastnet-2.1.0+cpu-py3-none-any.whl",
        "model==1.0",
        "ourlib @ file:///opt/servd/wheels/ourlib-0.1-py3-none-any.whl",
    ]
    assert planned.constraints == {"other": "3"}
    assert len(planned.notes) == 2
    assert planned.warnings == []


def test_what_cannot_be_had_is_warned_of_by_name(site, monkeypatch):
    """With the flags that help: not here at that version, files gone, or too large."""

    def planned(version, additions=None):
        source_of.cache_clear()
        found = plan_packages(
            "replica", {"ourlib": version}, additions or Additions(), lookup={}.get
        )
        assert found.required == [f"ourlib=={version}"]
        return found

    site.install("ourlib", "1.0+cpu")
    (warning,) = planned("2.0+cpu").warnings
    assert warning.startswith("ourlib 2.0+cpu has a local version")
    assert "--extra-index URL" in warning
    assert planned("2.0").warnings == []
    index = Additions(extra_index=("https://packages.example/simple",))
    assert planned("1.0+cpu", index).warnings == []
    assert planned("2.0+cpu", index).warnings == []
    monkeypatch.setattr("servd.imaging.sources.MAX_BYTES", 3)
    (warning,) = planned("1.0+cpu").warnings
    assert "too large" in warning
    (site.folder / "ourlib" / "__init__.py").unlink()
    (site.folder / "ourlib").rmdir()
    (warning,) = planned("1.0+cpu").warnings
    assert "its files are not here" in warning


def test_what_was_given_for_a_package_counts(site, tmp_path):
    """A line of the file and a wheel replace the bundle's pin, and what is brought along."""
    site.install("ourlib", "0.1", EDITABLE)
    wheel = tmp_path / "other-4-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other.py", "")
    (tmp_path / "r.txt").write_text("OurLib>=0.2\nextra\n")
    here = {"model": ("1.0", ("other", "ourlib")), "other": ("3", ()), "ourlib": ("0.1", ())}
    added = Additions(requirements=tmp_path / "r.txt", wheel=(wheel,))
    planned = plan_packages("replica", {"model": "1.0"}, added, lookup=here.get)
    assert planned.required == [
        "OurLib>=0.2", "extra", "model==1.0",
        "other @ file:///opt/servd/wheels/other-4-py3-none-any.whl",
    ]  # fmt: skip
    assert planned.constraints == {}
    assert planned.wheels == [wheel]
    assert planned.notes == []
