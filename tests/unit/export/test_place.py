"""The folder or file of an export: what is its own, what is not, what is removed."""

import stat
from pathlib import Path

import pytest

from servd.export.errors import NoExportError, OutputError
from servd.export.place import RECORD_FILE, Place
from servd.export.plan import SINGLE
from servd.export.settings import ExportSettings, Form

SETTINGS = ExportSettings(apps=("iris",), namespace="ml")
SECRET = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n"


@pytest.fixture
def folder(tmp_path):
    """Return a folder that does not exist yet."""
    return Place(tmp_path / "new" / "k8s", is_file=False)


@pytest.fixture
def file(tmp_path):
    """Return a file that does not exist yet."""
    return Place(tmp_path / "new" / "all.yaml", is_file=True)


def names_in(path: Path) -> set[str]:
    """Return the paths of all files below a folder."""
    return {found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file()}


def test_an_export_is_read_back(folder):
    """Its settings and texts are remembered; nothing counts as changed by hand."""
    files = {"a.yaml": "a: 1\n", "templates/b.yaml": "b: 2\n"}
    folder.check(SETTINGS, force=False)
    assert folder.write(SETTINGS, files) == []
    record, written = folder.read_export()
    assert record.settings == SETTINGS
    assert written.files == files
    assert written.edited == []
    assert names_in(folder.path) == {RECORD_FILE, *files}


def test_an_export_in_one_file_is_read_back(file):
    """The record is its first line, a comment; the rest is the text."""
    settings = ExportSettings(form=Form.SINGLE_FILE)
    file.check(settings, force=False)
    file.write(settings, {SINGLE: "a: 1\n---\nb: 2\n"})
    record, written = file.read_export()
    assert record.settings == settings
    assert written.files == {SINGLE: "a: 1\n---\nb: 2\n"}
    assert file.path.read_text().startswith("# ")
    file.check(settings, force=False)


def test_the_record_is_not_what_kubectl_reads(folder):
    """`kubectl apply -f` reads .yaml, .yml and .json files, hidden ones too."""
    folder.write(SETTINGS, {"a.yaml": "a: 1\n"})
    assert not RECORD_FILE.endswith((".yaml", ".yml", ".json"))


def test_a_stale_file_is_removed(folder):
    """What the last export wrote and this one does not is removed; it is named."""
    folder.write(SETTINGS, {"a.yaml": "a: 1\n", "old.yaml": "b: 2\n"})
    folder.check(SETTINGS, force=False)
    assert folder.write(SETTINGS, {"a.yaml": "a: 1\n"}) == ["old.yaml"]
    assert names_in(folder.path) == {RECORD_FILE, "a.yaml"}


@pytest.mark.parametrize("is_first", [True, False], ids=["before any export", "after one"])
def test_foreign_files_are_refused(folder, is_first):
    """A file of somebody else's stops an export; forced, it stays."""
    folder.path.mkdir(parents=True)
    if not is_first:
        folder.write(SETTINGS, {"a.yaml": "a: 1\n"})
    (folder.path / "mine.yaml").write_text("mine: 1\n")
    with pytest.raises(OutputError, match=r"mine\.yaml") as refused:
        folder.check(SETTINGS, force=False)
    assert "--force" in refused.value.hint
    folder.check(SETTINGS, force=True)
    folder.write(SETTINGS, {"a.yaml": "a: 2\n"})
    assert (folder.path / "mine.yaml").read_text() == "mine: 1\n"


def test_many_foreign_files_are_counted(folder):
    """A message does not list a whole home directory."""
    folder.path.mkdir(parents=True)
    for number in range(40):
        (folder.path / f"{number:02}.txt").touch()
    with pytest.raises(OutputError, match="and 35 more"):
        folder.check(SETTINGS, force=False)


def test_a_file_that_is_no_export_is_refused(file):
    """Another file of that name is not overwritten, unless forced."""
    settings = ExportSettings(form=Form.SINGLE_FILE)
    file.path.parent.mkdir()
    file.path.write_text("mine: 1\n")
    with pytest.raises(OutputError, match="is not an export"):
        file.check(settings, force=False)
    file.check(settings, force=True)


def test_own_files_that_were_edited_are_refused(folder, file):
    """Work by hand is not lost silently; the hint says how to see it."""
    folder.write(SETTINGS, {"a.yaml": "a: 1\n", "b.yaml": "b: 1\n"})
    (folder.path / "b.yaml").write_text("b: 2\n")
    assert folder.read().edited == ["b.yaml"]
    with pytest.raises(OutputError, match=r"by hand.*b\.yaml") as refused:
        folder.check(SETTINGS, force=False)
    assert "diff-k8s" in refused.value.hint
    folder.check(SETTINGS, force=True)
    settings = ExportSettings(form=Form.SINGLE_FILE)
    file.write(settings, {SINGLE: "a: 1\n"})
    file.path.write_text(file.path.read_text() + "b: 1\n")
    with pytest.raises(OutputError, match="by hand"):
        file.check(settings, force=False)


def test_another_form_is_refused(folder):
    """A chart is not written over a folder of objects."""
    folder.write(SETTINGS, {"a.yaml": "a: 1\n"})
    with pytest.raises(OutputError, match="another form"):
        folder.check(ExportSettings(form=Form.HELM), force=False)


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path):
    """The wrong kind of place is refused, forced or not."""
    (tmp_path / "file").touch()
    for name, is_file in (("file", False), ("", True)):
        with pytest.raises(OutputError, match=r"is a (file|folder)"):
            Place(tmp_path / name, is_file=is_file).check(SETTINGS, force=True)


def test_files_with_keys_are_for_their_owner(folder):
    """A Secret is not readable by others; the other files are."""
    folder.write(SETTINGS, {"s.yaml": SECRET, "a.yaml": "a: 1\n"})
    modes = {
        name: stat.S_IMODE((folder.path / name).stat().st_mode) for name in ("s.yaml", "a.yaml")
    }
    assert modes == {"s.yaml": 0o600, "a.yaml": 0o644}


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    """The error says which path and why."""
    (tmp_path / "file").touch()
    for is_file in (True, False):
        place = Place(tmp_path / "file" / "k8s", is_file=is_file)
        with pytest.raises(OutputError, match="cannot be used") as refused:
            place.write(SETTINGS, {SINGLE: "a: 1\n", "a.yaml": "a: 1\n"})
        assert str(tmp_path) in refused.value.message


def test_no_export_says_how_to_make_one(folder):
    """An empty place is not an export."""
    with pytest.raises(NoExportError) as refused:
        folder.read_export()
    assert refused.value.hint.startswith("servd export-k8s")


@pytest.mark.parametrize(
    "record",
    [
        "no JSON",
        '{"settings": {}, "files": {}, "format": 99}',
        '{"settings": {}, "files": {"../outside.yaml": "0"}}',
        '{"settings": {}, "files": {"/outside.yaml": "0"}}',
    ],
    ids=["no JSON", "of a newer servd", "outside", "absolute"],
)
def test_a_record_that_is_none_is_not_believed(folder, record):
    """A damaged or hostile record removes nothing: the folder counts as somebody else's."""
    folder.path.mkdir(parents=True)
    outside = folder.path.parent / "outside.yaml"
    outside.touch()
    (folder.path / RECORD_FILE).write_text(record)
    (folder.path / "a.yaml").write_text("a: 1\n")
    with pytest.raises(OutputError, match="holds files that are not the export's"):
        folder.check(SETTINGS, force=False)
    folder.write(SETTINGS, {"a.yaml": "a: 2\n"})
    assert outside.exists()
