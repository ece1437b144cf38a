"""Which modules are found behind a file, and from which folders they are imported."""

from pathlib import Path

import pytest

from servd.finding.modules import ModuleFinder


class Project:
    """A folder of files in which imports are followed."""

    def __init__(self, root):
        self.root = root

    def find(self, files, *included, target="model.py", cwd=None):
        """Write files, follow what the target imports, and return the finder."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        places = [self.root / name for name in included]
        finder = ModuleFinder(self.root / target, self.root, cwd or self.root, places)
        finder.add_target()
        return finder

    def names(self, paths):
        """Return paths as names in the project."""
        return sorted(str(Path(path).relative_to(self.root.parent)) for path in paths)


@pytest.fixture
def project(tmp_path):
    """Return a project that lies low enough to be looked above."""
    root = tmp_path / "home" / "work" / "p"
    root.mkdir(parents=True)
    return Project(root)


FOUND = {
    "one behind another": (
        {"model.py": "import a", "a.py": "import b", "b.py": "", "c.py": ""},
        ["p/a.py", "p/b.py", "p/model.py"],
    ),
    "a small package whole": (
        {"model.py": "import lib", "lib/__init__.py": "", "lib/unused.py": "import c", "c.py": ""},
        ["p/lib/__init__.py", "p/lib/unused.py", "p/model.py"],
    ),
    "what a package on the way imports": (
        {
            "model.py": "from .sub.pre import x",
            "sub/__init__.py": "import c",
            "sub/pre.py": "",
            "c.py": "",
        },
        ["p/c.py", "p/model.py", "p/sub/__init__.py", "p/sub/pre.py"],
    ),
    "a package without __init__, only what is imported": (
        {"model.py": "from lib.deep.pre import x", "lib/deep/pre.py": "", "lib/deep/other.py": ""},
        ["p/lib/deep/pre.py", "p/model.py"],
    ),
    "the same by a computed name": (
        {
            "model.py": "import_module(f'lib.deep.{name}')",
            "lib/deep/pre.py": "",
            "lib/deep/other.py": "",
            "lib/else.py": "",
        },
        ["p/lib/deep/other.py", "p/lib/deep/pre.py", "p/model.py"],
    ),
    "a compiled one": (
        {"model.py": "import fast", "fast.cpython-311.so": "", "fast.txt": ""},
        ["p/fast.cpython-311.so", "p/model.py"],
    ),
    "in a folder that the code adds": (
        {"model.py": "sys.path.append('vendor')\nimport v", "vendor/v.py": ""},
        ["p/model.py", "p/vendor/v.py"],
    ),
    "in src": ({"model.py": "import s", "src/s.py": ""}, ["p/model.py", "p/src/s.py"]),
    "above, where it was run": (
        {"model.py": "import u", "../u.py": ""},
        ["p/model.py", "u.py"],
    ),
    "above, without __init__": (
        {"model.py": "import lib.u", "../lib/u.py": "", "../lib/w.py": ""},
        ["lib/u.py", "p/model.py"],
    ),
}


@pytest.mark.parametrize("how", FOUND)
def test_files(project, how):
    """What the code imports, and nothing else."""
    files, expected = FOUND[how]
    finder = project.find(files)
    assert project.names(finder.found.files) == expected
    assert finder.found.missing == finder.found.installed == set()


def test_what_is_not_there_is_told_from_what_is_installed(project):
    """Python's own modules are neither; a name that is none is nothing."""
    finder = project.find(
        {"model.py": "import zmq, sys, json, nowhere_to_be_found\nimport_module('1x')"}
    )
    assert finder.found.installed == {"zmq"}
    assert finder.found.missing == {"nowhere_to_be_found"}
    assert project.names(finder.found.files) == ["p/model.py"]


def test_a_module_that_something_names_is_local_or_not(project):
    """And is followed."""
    finder = project.find({"model.py": "", "a.py": "import b", "b.py": ""})
    assert finder.add_module("a") is True
    assert project.names(finder.found.files) == ["p/a.py", "p/b.py", "p/model.py"]
    for name in ("json", "sys", "zmq", "nowhere_to_be_found", "1x"):
        assert finder.add_module(name) is False


def test_folders_are_in_the_order_of_the_search(project):
    """The file's own, what the code adds, and what was included."""
    finder = project.find(
        {
            "model.py": "import a, s",
            "a.py": "",
            "src/s.py": "",
            "extra/inner/__init__.py": "",
            "extra/inner/pre.py": "",
            "notes/readme.txt": "",
        },
        "notes/readme.txt",
        "extra/inner/pre.py",
    )
    assert project.names(finder.folders) == ["p", "p/extra", "p/src"]
    assert finder.folders[0] == project.root
    assert project.names(finder.further) == ["p/extra"]
    first, last = finder.search
    assert first == [project.root]
    assert project.root / "src" in last


def test_an_included_module_goes_before_an_installed_one_of_its_name(project):
    """Who names it means it; one that is installed under no such name is only added."""
    finder = project.find(
        {"model.py": "import zmq, pre", "extra/zmq.py": "", "more/pre.py": ""},
        "extra/zmq.py",
        "more/pre.py",
    )
    assert project.names(finder.found.files) == ["p/extra/zmq.py", "p/model.py", "p/more/pre.py"]
    assert project.names(finder.found.folders) == ["p", "p/extra", "p/more"]
    assert project.names(finder.search[0]) == ["p", "p/extra"]
    assert finder.found.installed == set()


def test_what_an_installed_module_hides_is_noted(project):
    """Beside the file the user's own comes first; behind Python's path it does not."""
    finder = project.find({"model.py": "import zmq", "src/zmq.py": ""})
    assert project.names(finder.found.hidden) == ["p/src/zmq.py"]
    assert finder.found.clashes == set()
    finder = project.find({"model.py": "import model_runtime", "src/model_runtime.py": ""})
    assert project.root / "src" / "model_runtime.py" in finder.found.clashes
    assert finder.found.hidden == set()


def test_resources_are_of_packages_that_are_there(project):
    """By the package's name, or the file's own; a package of nobody's has none."""
    files = {
        "model.py": "resources.files('lib.data')\nresources.files('json')",
        "lib/__init__.py": "",
        "lib/data/__init__.py": "",
    }
    assert project.names(project.find(files).found.resources) == ["p/lib/data"]
    files["model.py"] = "resources.files(__name__)"
    assert project.names(project.find(files).found.resources) == ["p"]


def test_a_large_package_comes_along_by_what_is_imported(project, monkeypatch):
    """What nothing names would fill the bundle."""
    monkeypatch.setattr("servd.finding.modules._WHOLE_FILES", 2)
    files = {"model.py": "import lib.a", "lib/__init__.py": "", "lib/a.py": "", "lib/b.py": ""}
    names = project.names(project.find(files).found.files)
    assert names == ["p/lib/__init__.py", "p/lib/a.py", "p/model.py"]
    monkeypatch.setattr("servd.finding.modules._WHOLE_FILES", 3)
    assert "p/lib/b.py" in project.names(project.find(files).found.files)


def test_environments_are_left_out(project):
    """They lie in projects, and hold what is installed."""
    files = {
        "model.py": "import lib.a",
        "lib/__init__.py": "",
        "lib/a.py": "",
        "lib/__pycache__/old.py": "",
        "lib/.hidden/x.py": "",
        "lib/b/c.py": "",
    }
    names = project.names(project.find(files).found.files)
    assert names == ["p/lib/__init__.py", "p/lib/a.py", "p/lib/b/c.py", "p/model.py"]
