"""What a Python file says that it needs, by reading alone."""

from pathlib import Path

import pytest

from servd.finding import reading
from servd.finding.reading import Import, Reading, read

CWD = Path("/work")


class Says:
    """Reads texts as Python files of a folder."""

    def __init__(self, folder):
        self.folder = str(folder)
        self._file = folder / "model.py"

    def __call__(self, text):
        """Return what a text says."""
        self._file.write_text(text)
        return read(self._file, CWD)


@pytest.fixture
def says(tmp_path):
    """Return what reads a text."""
    return Says(tmp_path)


def test_what_is_no_python_file_says_nothing(tmp_path, monkeypatch):
    """One that is missing, a folder, a text in no language, and one that is a table in fact."""
    file = tmp_path / "model.py"
    assert read(file, CWD) == Reading()
    assert read(tmp_path, CWD) == Reading()
    for text in ("import (", "import a\0", "(" * 5000):
        file.write_text(text)
        assert read(file, CWD) == Reading()
    file.write_text("import a\n")
    monkeypatch.setattr(reading, "_MAX_BYTES", 9)
    assert read(file, CWD).imports == [Import("a")]
    monkeypatch.setattr(reading, "_MAX_BYTES", 8)
    assert read(file, CWD) == Reading()


def test_what_was_read_before_an_expression_without_end_counts(says):
    """A sum of thousands of terms is too deep to walk over."""
    assert says("import a\nx = " + "+".join(["f()"] * 900) + "\nimport b\n").imports == [
        Import("a")
    ]


@pytest.mark.parametrize(
    ("text", "imports"),
    [
        ("import a, b.c as d", [Import("a"), Import("b.c")]),
        ("from a import b, c", [Import("a"), Import("a.b"), Import("a.c")]),
        ("from a import *", [Import("a")]),
        ("from a import (\n    b,\n)", [Import("a"), Import("a.b")]),
        ("from . import b", [Import("b", 1)]),
        ("from ..a import b", [Import("a", 2), Import("a.b", 2)]),
        ("def f():\n    import a", [Import("a")]),
        ("importlib.import_module('a.b')", [Import("a.b")]),
        ("__import__('a')", [Import("a")]),
        ("NAME = 'a'\nimport_module(NAME)", [Import("a")]),
        ("import_module('..a', __package__)", [Import("a", 2)]),
        ("import_module(f'plugins.{kind}')", [Import("plugins", 0, is_prefix=True)]),
        ("import_module('a.b.' + kind)", [Import("a.b", 0, is_prefix=True)]),
        ("import_module('a.' + kind + 's')", [Import("a", 0, is_prefix=True)]),
        ("import_module('a.b.{}'.format(kind))", [Import("a.b", 0, is_prefix=True)]),
        ("import_module('.a.{}'.format(kind))", [Import("a", 1, is_prefix=True)]),
        ("import_module('..a.' + kind)", [Import("a", 2, is_prefix=True)]),
        ("import_module('a' + kind)", []),
        ("import_module('a.{}'.upper(kind))", []),
        ("import_module(format(kind))", []),
        ("import_module(kind)", []),
        ("import_module()", []),
        ("importlib.reload(a)", []),
    ],
)
def test_imports(says, text, imports):
    """Statements and calls, relative ones with their dots, and how a computed name begins."""
    assert says(text).imports == imports


def test_an_import_is_of_the_whole_name_and_from_the_top_unless_it_says_more(says):
    """No dots, and nothing that only a run tells."""
    [found] = says("import a").imports
    assert (found.name, found.level, found.is_prefix) == ("a", 0, False)


@pytest.mark.parametrize(
    ("text", "imports"),
    [
        ("if __name__ == '__main__':\n    import a\nelse:\n    import b", ["b"]),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import b", ["b"]),
        ("if typing.TYPE_CHECKING:\n    import a", []),
        ("if sys.version_info > (3, 11):\n    import a\nelse:\n    import b", ["a", "b"]),
        ("if __import__('c'):\n    import a", ["c", "a"]),
        ("if fast:\n    import a\nelif slow:\n    import b", ["a", "b"]),
        ("try:\n    import a\nexcept ImportError:\n    import b", ["a", "b"]),
    ],
)
def test_branches(says, text, imports):
    """All count but what only a script does, and what only a type checker reads."""
    assert [each.name for each in says(text).imports] == imports


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("x = load_it('a.bin')", ["a.bin"]),
        ("open('a.txt')", ["a.txt"]),
        ("open(Path(__file__).parent / 'a.txt')", ["{here}/a.txt"]),
        ("PLACE = 'data'\nf(os.path.join(PLACE, 'x'))", ["data", "data/x"]),
        ("PLACE: str = 'data'\nf(PLACE + '/x')", ["data", "data/x"]),
        ("PLACE: str\nPLACE = 'data'\nf(PLACE + '/x')", ["data", "data/x"]),
        ("PLACE = 'data'\nPLACE = 'other'\nf(PLACE + '/x')", ["data", "other", "data/x"]),
        ("A = B = 'data'\nf(A + '/x')", ["data", "/x"]),
        (
            "def init(self):\n    self.at = 'd'\ndef f(self):\n    g(self.at + '/x')",
            ["d", "d", "d/x"],
        ),
        ("def f(a, at='d'):\n    g(at + '/x')", ["d", "d/x"]),
        ("def f(a, /, b, at='d'):\n    g(at + '/x')", ["d", "d/x"]),
        ("def f(at='d', /):\n    g(at + '/x')", ["d", "d/x"]),
        ("def f(*, a, at='d', b):\n    g(at + '/x')", ["d", "d/x"]),
        ("def f(a, at):\n    g(at + '/x')", ["/x"]),
        ("'''A docstring.'''\nf('a.bin')", ["a.bin"]),
        ("x = table['column']", []),
        ("x = load_it('a.bin')['column']", ["a.bin"]),
        ("x = {'key': 'a.bin'}", ["a.bin"]),
        ("x = ['a.bin', ('b.bin',)]", ["a.bin", "b.bin"]),
        ("open('a.txt', 'r')", ["a.txt", "r"]),
        ("x = 1", []),
    ],
)
def test_files(says, text, files):
    """Each text that an expression makes, of literals and of names that were given some."""
    assert says(text).files == [name.format(here=says.folder) for name in files]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("open('a.txt', 'w')", ["a.txt"]),
        ("open('a.txt', mode='a')", ["a.txt"]),
        ("open('a.txt', 'xb')", ["a.txt"]),
        ("Path('a.txt').open('w')", ["a.txt", "w"]),
        ("Path('a.txt').open()", []),
        ("open('a.txt', 'w+')", []),
        ("open('a.txt', 'r')", []),
        ("open('a.txt')", []),
        ("open('a.txt', mode)", []),
        ("open()", []),
        ("Path('a').write_text('x')", ["a", "x"]),
        ("frame.to_csv('a.csv')", ["a.csv"]),
        ("np.save('a.npy', x)", ["a.npy"]),
        ("np.save('', x)", []),
        ("handler = logging.FileHandler('a.log')", ["a.log"]),
        ("os.makedirs(name)", []),
        ("read('a.txt')", []),
    ],
)
def test_what_is_written_is_not_needed(says, text, written):
    """A file that is made need not be there; one that is read and written must."""
    said = says(text)
    assert said.written == written
    assert not set(written) & set(said.files)


def test_what_is_computed_for_a_file_that_is_written_is_looked_into(says):
    """Not the path itself, but what it takes to know it and what goes into it."""
    said = says("np.save(name_of('names.json'), load_it('a.bin'))")
    assert said.written == []
    assert said.files == ["names.json", "a.bin"]
    assert says("make('a.bin').write_text(read_it('b.bin'))").files == ["a.bin", "b.bin"]
    assert says("Path('a').write_text(read_it('b.bin'))").files == ["b.bin"]


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("os.listdir('data')", ["data"]),
        ("Path('data').iterdir()", ["data"]),
        ("Path('data').glob('*.txt')", ["data", ""]),
        ("glob.glob('texts/*.txt')", ["texts"]),
        ("AutoModel.from_pretrained('weights')", ["weights"]),
        ("os.walk(top)", []),
        ("np.mean('data')", []),
        ("open(HERE / name)", []),
        ("HERE = 'd'\nopen(HERE / name)", ["d"]),
        ("open(os.path.join('a', 'b', name, 'c'))", ["a/b"]),
        ("open(os.path.join(name, 'c'))", []),
        ("open(os.path.join('a', '', name))", ["a"]),
        ("open(os.path.join('', name))", []),
        ("open(join('a', name))", ["a"]),
        ("merge(frame.join('a', how='b'))", []),
        ("merge(join('a', how='b'))", ["a"]),
        ("merge(join(*parts))", []),
        ("open(Path('a').joinpath('b', name))", ["a/b"]),
        ("open(f'data/{name}.txt')", ["data"]),
        ("open(f'data/deep/x-{name}.txt')", ["data/deep"]),
        ("open('data/' + name)", ["data"]),
        ("open('data/{}.txt'.format(name))", ["data"]),
        ("open(f'{name}.txt')", []),
        ("open('x-' + name)", []),
        ("open('data/x' % name)", ["data"]),
    ],
)
def test_folders_that_are_opened(says, text, opened):
    """What is listed, and where a file lies whose name only a run tells."""
    assert says(text).opened_folders == opened


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("os.listdir('data')", ["data/*"]),
        ("os.listdir(name)", []),
        ("os.listdir()", []),
        ("Path('data').iterdir()", ["data/*"]),
        ("os.scandir('data')", ["data/*"]),
        ("glob.glob('texts/*.txt')", ["texts/*.txt"]),
        ("Path('data').glob('*.txt')", ["data/*.txt"]),
        ("Path('data').rglob('*.txt')", ["data/**/*.txt"]),
        ("Path(name).rglob('*.txt')", ["**/*.txt"]),
        ("glob.glob('texts/a.txt')", []),
        ("glob.glob(name)", []),
        ("open('/data/' + name)", ["/data/*"]),
        ("open(Path('/data') / name / 'x')", ["/data/*/x", "/data/*"]),
        ("open('data/' + name)", []),
    ],
)
def test_patterns(says, text, patterns):
    """What files are listed by, and what is known of an absolute path."""
    assert says(text).patterns == patterns


@pytest.mark.parametrize(
    ("text", "folders"),
    [
        ("sys.path.append('lib')", ["lib"]),
        ("sys.path.insert(0, 'lib')", ["lib"]),
        ("sys.path.extend(['lib', name, ('deep',)])", ["lib", "deep"]),
        ("sys.path[:0] = ['lib']", ["lib"]),
        ("sys.path = ['lib'] + sys.path", ["lib"]),
        ("sys.path = sys.path + ['lib']", ["lib"]),
        ("sys.path += ['lib']", ["lib"]),
        ("site.addsitedir('lib')", ["lib"]),
        ("names.append('lib')", []),
        ("os.path.append('lib')", []),
        ("sys.argv.append('lib')", []),
        ("sys.argv += ['lib']", []),
        ("sys.argv = ['lib']", []),
        ("append('lib')", []),
        ("sys.path.remove('lib')", []),
    ],
)
def test_folders_of_modules(says, text, folders):
    """Every way to add to sys.path; what is added to something else is no folder of modules."""
    said = says(text)
    assert said.folders == folders
    assert not (folders and said.files)


def test_the_working_directory(says):
    """Where the code changes to, for names may be relative to it."""
    assert says("os.chdir('data')").entered == ["data"]
    assert says("os.chdir(name)").entered == []
    assert says("os.chdir(Path(__file__).parent)").entered == [says.folder]
    assert says("change('data')").entered == []


@pytest.mark.parametrize(
    ("text", "resources"),
    [
        ("importlib.resources.files('pkg')", ["pkg"]),
        ("from importlib import resources\nresources.files(pkg.sub)", ["sub"]),
        ("pkgutil.get_data(__name__, 'x')", [""]),
        ("pkgutil.get_data(__package__, 'x')", [""]),
        ("files('pkg')", ["pkg"]),
        ("pkg_resources.resource_stream(__name__, 'x')", [""]),
        ("resources.files()", []),
        ("archive.files('pkg')", []),
        ("resources.of('pkg')", []),
    ],
)
def test_resources(says, text, resources):
    """The package that is asked, by a text, a module or its own name."""
    assert says(text).resources == resources
