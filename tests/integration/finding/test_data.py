"""Files that a model opens by name come along, and are found there by the same name."""

import os
import sqlite3

import joblib
import numpy as np
import pytest

from model_runtime.manifest import encode
from servd.finding import data
from servd.finding.installed import is_left_out

HEAD = "import os\nfrom pathlib import Path\n"


def model_of(expression):
    """Return the code of a class that reads a text when it is made."""
    return (
        f"{HEAD}class Model:\n    def __init__(self):\n        self.text = {expression}\n"
        "    def predict(self, inputs):\n        return [self.text.strip() for _ in inputs]\n"
    )


def function_of(expression):
    """Return the code of a function that reads a text whenever it is called."""
    return (
        f"{HEAD}HERE = os.path.dirname(os.path.abspath(__file__))\nFOLDER = Path(HERE) / 'data'\n"
        f"def predict(inputs):\n    return [{expression}.strip() for _ in inputs]\n"
    )


OPENED = {
    "relative": "open('data/words.txt').read()",
    "absolute": "open(os.path.abspath('data/words.txt')).read()",
    "beside the file": "(Path(__file__).parent / 'data' / 'words.txt').read_text()",
    "resolved": "(Path(__file__).resolve().parent / 'data/words.txt').read_text()",
    "joined": "open(os.path.join(os.path.dirname(__file__), 'data', 'words.txt')).read()",
    "computed": "open('data/' + 'txt.sdrow'[::-1]).read()",
    "listed": "open('data/' + sorted(os.listdir('data'))[0]).read()",
    "globbed": "next(Path('data').glob('w*')).read_text()",
    "walked": "[open(os.path.join(a, n)).read() for a, _, f in os.walk('data') for n in f][0]",
    "by descriptor": "os.read(os.open('data/words.txt', os.O_RDONLY), 99).decode()",
}


@pytest.mark.parametrize("how", OPENED)
def test_what_is_opened_when_the_model_is_made_comes_along(projects, names, how):
    """However its name is put together."""
    projects.write(
        {"model.py": model_of(OPENED[how]), "data/words.txt": "hello\n", "other.txt": ""}
    )
    plan = projects.plan("model.py:Model")
    assert names(plan) == ["data/words.txt", "model.py"]
    assert projects.answers(plan, [1]) == ["hello"]
    assert plan.description == "model.py + 1 file (words.txt; 6 B)"


def test_a_text_that_is_too_long_to_be_a_name_is_nobodys_environment(tmp_path):
    """Texts of the code are tried as names; the system refuses to look such a one up."""
    assert not is_left_out(tmp_path / ("many words " * 400), tmp_path)


NAMED = {
    "relative": "open('data/words.txt').read()",
    "beside the file": "(Path(__file__).parent / 'data' / 'words.txt').read_text()",
    "a folder by its name": "(FOLDER / 'words.txt').read_text()",
    "joined": "open(os.path.join(HERE, 'data', 'words.txt')).read()",
    "formatted": "open(f'{HERE}/data/words.txt').read()",
    "joinpath": "FOLDER.joinpath('words.txt').open().read()",
    "a folder that is listed": "open('data/' + os.listdir('data')[0]).read()",
    "a folder that is searched": "next(FOLDER.glob('*')).read_text()",
}


@pytest.mark.parametrize("how", NAMED)
def test_what_is_opened_when_the_model_is_called_comes_along(projects, how):
    """Nothing has opened it yet: the code says its name."""
    projects.write({"model.py": function_of(NAMED[how]), "data/words.txt": "hello\n"})
    assert projects.answers(projects.plan("model.py:predict"), [1]) == ["hello"]


HALF_NAMED = {
    "formatted": "open(f'data/{word}.txt').read()",
    "added": "open('data/' + word + '.txt').read()",
    "divided": "(Path(__file__).parent / 'data' / f'{word}.txt').read_text()",
    "joined": "open(os.path.join(HERE, 'data', word + '.txt')).read()",
    "joined, relative": "open(os.path.join('data', word + '.txt')).read()",
    "by a parameter's default": "given(word)",
    "in a file of settings": "open(json.load(open('settings.json'))[word]).read()",
}


@pytest.mark.parametrize("how", HALF_NAMED)
def test_of_a_name_that_inputs_make_the_folder_comes_along(projects, how):
    """A file for each language, say: which of them will be asked for nobody knows."""
    code = (
        f"import json\n{HEAD}HERE = os.path.dirname(__file__)\n"
        "def given(word, folder=Path(HERE) / 'data'):\n"
        "    return (folder / f'{word}.txt').read_text()\n"
        f"def predict(inputs):\n    return [{HALF_NAMED[how]} for word in inputs]\n"
    )
    settings = '{"en": "data/en.txt", "de": "data/de.txt", "none": "data/none.txt"}'
    files = {"data/en.txt": "hello", "data/de.txt": "hallo", "settings.json": settings}
    projects.write({"model.py": code, **files})
    plan = projects.plan("model.py:predict", input_type="strings")
    assert projects.answers(plan, "de", "en") == ["hallo", "hello"]


@pytest.mark.parametrize(
    "text",
    [
        "importlib.resources.files('lib').joinpath('data/w.txt').read_text()",
        "(importlib.resources.files(lib) / 'data' / 'w.txt').read_text()",
        "importlib.resources.read_text('lib.data', 'w.txt')",
        "pkgutil.get_data('lib', 'data/w.txt').decode()",
    ],
)
def test_the_files_of_a_package_that_are_asked_for_by_its_name_come_along(projects, text):
    """Resources have no path in the code."""
    code = f"import importlib.resources, lib, pkgutil\n{function_of(text)}"
    projects.write({"model.py": code, "lib/__init__.py": "", "lib/data/w.txt": "hello"})
    assert projects.answers(projects.plan("model.py:predict"), [1]) == ["hello"]


@pytest.mark.parametrize("cwd", ["", "serving"])
def test_a_relative_name_works_from_where_it_worked(projects, cwd):
    """Some run their code in the project's folder, others in the file's."""
    text = f"open('{'data/words.txt' if not cwd else '../data/words.txt'}').read()"
    projects.write({"serving/model.py": model_of(text), "data/words.txt": "hello\n"})
    target = "model.py:Model" if cwd else "serving/model.py:Model"
    assert projects.answers(projects.plan(target, cwd=cwd), [1]) == ["hello"]


def test_a_file_that_opens_beside_itself_is_deployed_from_anywhere(projects, tmp_path):
    """The folder of the shell is tried first, then that of the file."""
    projects.write({"deep/model.py": "T = open('words.txt').read()\n" + model_of("T"),
                    "deep/words.txt": "hello\n"})  # fmt: skip
    (tmp_path / "home").mkdir()
    for cwd, target in (
        (None, "deep/model.py"),
        (tmp_path / "home", projects.root / "deep/model.py"),
    ):
        plan = projects.plan(f"{target}:Model", cwd=cwd)
        assert projects.answers(plan, [1]) == ["hello"]


def test_included_data_is_found_by_its_name_from_where_the_user_is(projects):
    """With --include alone, where neither a run nor the code tells the name."""
    text = "open('data/' + ''.join(['w', 'ords']) + '.txt').read()"
    projects.write({"serving/model.py": function_of(text), "data/words.txt": "hello\n"})
    plan = projects.plan("serving/model.py:predict", "data/*")
    assert projects.answers(plan, [1]) == ["hello"]


def test_libraries_that_open_files_themselves_are_noticed(projects, names):
    """numpy, joblib and SQLite; a library in C that tells Python nothing."""
    projects.write(
        {
            "model.py": (
                "import ctypes, sqlite3, joblib, numpy as np\n"
                "class Model:\n"
                "    def __init__(self):\n"
                "        n = lambda name: name[::-1]\n"
                "        self.a = np.load(n('ypn.a')).sum() + joblib.load(n('bilboj.b'))\n"
                "        with sqlite3.connect(n('bd.c')) as db:\n"
                "            self.a += db.execute('select n from t').fetchone()[0]\n"
                "        libc = ctypes.CDLL(None)\n"
                "        f = libc.open(n('nib.d').encode(), 0)\n"
                "        text = ctypes.create_string_buffer(9)\n"
                "        libc.read(f, text, 9)\n"
                "        self.a += int(text.value)\n"
                "    def predict(self, inputs):\n"
                "        return [float(self.a) for _ in inputs]\n"
            ),
            "d.bin": "1000",
        }
    )
    np.save(projects.root / "a.npy", np.ones(3))
    joblib.dump(20, projects.root / "b.joblib")
    with sqlite3.connect(projects.root / "c.db") as database:
        database.execute("create table t (n)")
        database.execute("insert into t values (400)")
    database.close()
    plan = projects.plan("model.py:Model")
    assert names(plan) == ["a.npy", "b.joblib", "c.db", "d.bin", "model.py"]
    assert projects.answers(plan, [1]) == [1423.0]


def test_what_is_opened_in_a_data_directory_is_a_daemons(projects, names):
    """Replicas open their files there while a model loads; which process it is nobody tells."""
    projects.write(
        {
            "model.py": (
                "import ctypes\n"
                "def opened(name):\n"
                "    return ctypes.CDLL(None).open(name[::-1].encode(), 0)\n"
                "FILES = [opened('nib.eno'), opened('lkp.m/selif/x/seldnub/gnivres')]\n"
                "def predict(inputs):\n"
                "    return [min(FILES) >= 0 for _ in inputs]\n"
            ),
            "one.bin": "1",
            "serving/servd.lock": "",
            "serving/bundles/x/files/m.pkl": "1",
        }
    )
    assert names(projects.plan("model.py:predict")) == ["model.py", "one.bin"]


def test_what_a_model_writes_stays(projects, names):
    """A log or a cache that it makes is not what it needs."""
    code = model_of(
        "[open('log.txt', 'a').write('x'), open('new.txt', 'w+').write('y'), 'hello'][2]"
    )
    projects.write({"model.py": code, "log.txt": "old"})
    for _ in range(2):
        assert names(projects.plan("model.py:Model")) == ["model.py"]
        (projects.root / "new.txt").unlink()


def test_large_files_that_are_only_named_are_said(projects, names):
    """What is opened is needed whatever its size; of the rest the command is shown."""
    projects.write({"model.py": function_of("open('data/huge.bin').read()"), "data/x": ""})
    with (projects.root / "data" / "huge.bin").open("wb") as file:
        file.truncate(100 << 20)
    plan = projects.plan("model.py:predict")
    assert names(plan) == ["model.py"]
    (remark,) = plan.found.remarks
    assert remark.startswith("data/huge.bin (105 MB) is named in the code and was not taken along")
    assert "--include data/huge.bin takes" in remark
    assert names(projects.plan("model.py:predict", "data/huge.bin"))[0] == "data/huge.bin"
    assert projects.plan("model.py:predict", "data/huge.bin").found.remarks == ()
    projects.write({"model.py": model_of("open('data/huge.bin').read(1)")})
    assert "data/huge.bin" in names(projects.plan("model.py:Model"))


def test_a_model_that_opens_thousands_of_files_is_told_of(projects, names):
    """A search through the data of training is no need."""
    projects.write({f"data/{number}.txt": "" for number in range(5001)})
    text = "[open(os.path.join('data', n)).close() for n in os.listdir('data')] and 'x'"
    projects.write({"model.py": model_of(text)})
    plan = projects.plan("model.py:Model")
    assert names(plan) == ["model.py"]
    assert any(
        "opened 5,001 files" in remark and "--include" in remark for remark in plan.found.remarks
    )


def test_keys_and_texts_are_no_files(projects, names):
    """A column may be called as a file or folder is."""
    code = (
        '"""data/words.txt"""\n'
        "def predict(inputs):\n"
        "    row = {'data': 1, 'age': 2}\n"
        "    return [row['data'] + row['age'] + row.get('data', 0) for _ in inputs]\n"
    )
    projects.write({"model.py": code, "data/words.txt": "", "age": ""})
    assert names(projects.plan("model.py:predict")) == ["model.py"]


def test_the_files_of_a_local_module_come_along(projects):
    """It opens them when it is imported, or names them."""
    projects.write(
        {
            "model.py": "from lib import words\ndef predict(xs):\n    return [words.get()]\n",
            "lib/__init__.py": "",
            "lib/words.py": (
                "from pathlib import Path\nimport pkgutil\n"
                "A = pkgutil.get_data(__name__, 'a.txt')\n"
                "def get():\n"
                "    return A.decode() + Path(__file__).with_name('b.txt').read_text()\n"
            ),
            "lib/a.txt": "a",
            "lib/b.txt": "b",
        }
    )
    assert projects.answers(projects.plan("model.py:predict"), [1]) == ["ab"]


def test_the_files_of_a_pickles_module_come_along(projects):
    """The pickle is loaded once where it needs modules of the user's own."""
    projects.write(
        {
            "own.py": (
                "class Model:\n"
                "    def __setstate__(self, state):\n"
                "        self.text = open('words' + '.txt').read()\n"
                "    def predict(self, X):\n"
                "        return [self.text for _ in X]\n"
            ),
            "words.txt": "hello",
        }
    )
    (projects.root / "m.pkl").write_bytes(b"\x80\x02cown\nModel\n)\x81}X\x01\x00\x00\x00aK\x01sb.")
    assert projects.answers(projects.plan("m.pkl"), [1]) == ["hello"]


@pytest.mark.parametrize("resolved", [False, True])
@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("is_included", [False, True])
def test_links_are_followed_and_keep_their_names(
    projects, tmp_path, resolved, absolute, is_included
):
    """As the Hugging Face cache and DVC have them: names are links to blobs elsewhere."""
    blobs = tmp_path / "work" / "cache" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "abc123").write_text("hello\n")
    snapshot = projects.root / "weights"
    snapshot.mkdir()
    target = blobs / "abc123"
    (snapshot / "current.txt").symlink_to(target if absolute else os.path.relpath(target, snapshot))
    path = "Path(__file__).parent / 'weights' / 'current.txt'"
    text = f"({path}).resolve().read_text()" if resolved else f"({path}).read_text()"
    projects.write({"model.py": model_of(text)})
    plan = projects.plan("model.py:Model", *(["weights/*"] if is_included else []))
    assert projects.answers(plan, [1]) == ["hello"]


@pytest.mark.parametrize("environment", [".venv/pyvenv.cfg", "env/lib/site-packages/a.py"])
def test_an_environment_beside_the_code_hides_no_link(projects, tmp_path, monkeypatch, environment):
    """Its many files are not among those that are looked at for links."""
    monkeypatch.setattr(data, "_LINKED_FILES", 4)
    (tmp_path / "abc123").write_text("hello\n")
    path = "Path(__file__).parent / 'weights' / 'current.txt'"
    projects.write({environment: "", "model.py": model_of(f"({path}).resolve().read_text()")})
    for number in range(10):
        (projects.root / environment).with_name(f"{number}.py").write_text("")
    (projects.root / "weights").mkdir()
    (projects.root / "weights" / "current.txt").symlink_to(tmp_path / "abc123")
    assert projects.answers(projects.plan("model.py:Model"), [1]) == ["hello"]


def test_a_linked_folder_is_included_whole(projects, tmp_path, names):
    """By its name, by a pattern, from within; a link back up ends, and is not endless."""
    real = tmp_path / "real"
    (real / "inner").mkdir(parents=True)
    (real / "inner" / "a.txt").write_text("a")
    (real / "b.txt").write_text("b")
    (real / "inner" / "up").symlink_to(real)
    (projects.root / "weights").symlink_to(real)
    projects.write({"model.py": "def predict(xs):\n    return xs\n"})
    expected = ["model.py", "weights/b.txt", "weights/inner/a.txt"]
    for pattern in ("weights", "weights/", "weights/*", "./weights", "weights/**/*"):
        assert names(projects.plan("model.py:predict", pattern)) == expected, pattern


@pytest.mark.parametrize("through", ["src", "link", "sub/deep", "outside"])
def test_a_link_to_the_folder_of_the_target_adds_nothing(projects, tmp_path, names, through):
    """Neither its modules nor its data have another name in the bundle, whichever was asked for."""
    text = "(Path(__file__).parent / 'words.txt').read_text()"
    code = f"from helper import TEXT\n{model_of(f'{text} + TEXT')}"
    files = {"src/model.py": code, "src/helper.py": "TEXT = '!'\n", "src/words.txt": "hello"}
    projects.write(files | {"pyproject.toml": "", "sub/other.txt": ""})
    (projects.root / "link").symlink_to("src")
    (projects.root / "sub" / "deep").symlink_to("../src")
    (tmp_path / "outside").symlink_to(projects.root / "src")
    folder = tmp_path / "outside" if through == "outside" else projects.root / through
    plan = projects.plan(f"{folder}/model.py:Model")
    assert names(plan) == ["src/helper.py", "src/model.py", "src/words.txt"]
    assert projects.answers(plan, [1]) == ["hello!"]


def test_a_link_that_leads_nowhere_is_named(projects):
    """With what it leads to: a store of data may not have fetched it."""
    projects.write({"model.py": "def predict(xs):\n    return xs\n", "weights/x.txt": ""})
    (projects.root / "weights" / "gone.bin").symlink_to("../store/abc")
    for pattern in ("weights", "weights/*", "weights/gone.bin"):
        with pytest.raises(Exception, match=r"gone\.bin is a link to \.\./store/abc, which is not"):
            projects.plan("model.py:predict", pattern)


DATABASES = {
    "relative": "'file:data/t.db?mode=ro'",
    "absolute": "f'file:{HERE}/data/t.db?mode=ro&immutable=1'",
    "with a host": "f'file://localhost{HERE}/data/t.db?mode=ro'",
    "escaped": "'file:data%2Ft.db'",
    "by pathlib": "Path(HERE, 'data', 't.db').as_uri() + '?mode=ro'",
    "added": "'file:' + str(FOLDER / 't.db') + '?mode=ro'",
}


def database(path, journal="delete"):
    """Make a database with a number in it; of one in WAL mode the number is in the log alone."""
    path.parent.mkdir(exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute(f"pragma journal_mode = {journal}")
    connection.executescript("create table t (n); insert into t values (4)")
    connection.commit()
    return connection


@pytest.mark.parametrize("is_made", [False, True])
@pytest.mark.parametrize("how", DATABASES)
def test_a_database_that_is_opened_by_a_uri_comes_along(projects, how, is_made):
    """When the model is made, and when only its code says so."""
    database(projects.root / "data" / "t.db").close()
    ask = (
        f"str(sqlite3.connect({DATABASES[how]}, uri=True).execute('select n from t').fetchone()[0])"
    )
    head = "import sqlite3\nHERE = __import__('os').path.dirname(__file__)\n"
    head += "FOLDER = __import__('pathlib').Path(HERE) / 'data'\n"
    projects.write({"model.py": head + (model_of(ask) if is_made else function_of(ask))})
    plan = projects.plan("model.py:Model" if is_made else "model.py:predict")
    assert projects.answers(plan, [1]) == [4]


@pytest.mark.parametrize("is_made", [False, True])
def test_what_a_database_has_in_its_log_comes_along(projects, names, is_made):
    """A database that was not closed has it beside itself."""
    connection = database(projects.root / "t.db", "wal")
    ask = "str(sqlite3.connect('t.db').execute('select n from t').fetchone()[0])"
    projects.write(
        {"model.py": "import sqlite3\n" + (model_of(ask) if is_made else function_of(ask))}
    )
    plan = projects.plan("model.py:Model" if is_made else "model.py:predict")
    assert "t.db-wal" in names(plan)
    connection.close()


def test_paths_that_are_no_texts_are_noticed(projects, names):
    """Bytes, and what stands for a path, also of a database."""
    database(projects.root / "t.db").close()
    code = (
        "import sqlite3\nfrom pathlib import Path\n\nclass Model:\n    def __init__(self):\n"
        "        sqlite3.connect(Path('bd.t'[::-1])).close()\n"
        "        open(b'txt.a'[::-1]).close()\n"
        "    def predict(self, xs):\n        return xs\n"
    )
    projects.write({"model.py": code, "a.txt": ""})
    assert names(projects.plan("model.py:Model")) == ["a.txt", "model.py", "t.db"]


GOING = {
    "to a folder without files": "os.chdir('data/w'); text = open('../words.txt').read()",
    "to a folder of the file's": "os.chdir(Path(__file__).parent / 'data' / 'w'); "
    "text = open('../words.txt').read()",
    "and back": "os.chdir('data/w'); os.chdir('..'); text = open('words.txt').read()",
    "by descriptor": "os.fchdir(os.open('data', os.O_RDONLY)); text = open('words.txt').read()",
    "for a while": "\nwith contextlib.chdir('data'):\n    text = open('words.txt').read()",
}


ONLY_A_RUN_TELLS = {"and back", "by descriptor"}


@pytest.mark.parametrize(
    ("how", "is_late"),
    [
        *((how, False) for how in GOING),
        *((how, True) for how in sorted(GOING.keys() - ONLY_A_RUN_TELLS)),
    ],
)
def test_a_model_may_go_elsewhere(projects, how, is_late):
    """To a folder that is there in its bundle, too, and from which its names are right."""
    lines = GOING[how].replace("; ", "\n").strip().split("\n")
    at = "    " if is_late else ""
    code = f"import contextlib\n{HEAD}" + "def predict(xs):\n" * is_late
    code += "".join(f"{at}{line}\n" for line in lines)
    code += "" if is_late else "def predict(xs):\n"
    code += "    return [text.strip() for _ in xs]\n"
    projects.write({"model.py": code, "data/words.txt": "hello\n"})
    (projects.root / "data" / "w").mkdir()
    assert projects.answers(projects.plan("model.py:predict"), [1]) == ["hello"]


WRITING = {
    "a log": "logging.FileHandler('out/log.txt').close()",
    "a file": "open('out/new.txt', 'w').close()",
    "a path": "Path('out', 'new.txt').write_text('x')",
    "an array": "np.save('out/a.npy', np.ones(1))",
    "a database": "sqlite3.connect('out/new.db').close()",
    "beside the file": "(Path(__file__).parent / 'out' / 'new.txt').write_text('x')",
    "what is listed": "os.listdir('out')",
}


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("how", WRITING)
def test_folders_that_a_model_writes_to_are_there(projects, names, how, is_late):
    """Without what lies in them."""
    head = f"import logging, sqlite3, numpy as np\n{HEAD}"
    at = "    " if is_late else ""
    code = f"{at}{WRITING[how]}\n" if not is_late else ""
    code += f"def predict(xs):\n{f'    {WRITING[how]}' if is_late else ''}\n    return xs\n"
    projects.write({"model.py": head + code})
    (projects.root / "out").mkdir()
    plan = projects.plan("model.py:predict", input_type="any")
    for path in (projects.root / "out").iterdir():
        path.unlink()
    assert names(plan) == ["model.py"]
    assert plan.manifest.folders == ("out",)
    assert projects.answers(plan, 1) == [1]


def test_a_manifest_without_such_folders_is_as_it_was(projects):
    """What is deployed again unchanged keeps its digest."""
    projects.write({"model.py": "def predict(xs):\n    return xs\n"})
    assert b"folders" not in encode(projects.plan("model.py:predict").manifest)


COMPANIONS = {
    "net.onnx": ["net.onnx.data", "net.onnx_data"],
    "words.model": ["words.model.wv.vectors.npy"],
    "old.joblib": ["old.joblib_01.npy"],
    "ckpt/model": ["ckpt/model.index", "ckpt/model.data-00000-of-00001"],
}


@pytest.mark.parametrize("name", COMPANIONS)
def test_files_that_go_with_one_that_is_named_come_along(projects, names, name):
    """Libraries open them by names of their own; copies and code stay."""
    projects.write(
        {
            "model.py": f"def predict(xs):\n    load({name!r})\n    return xs\n",
            **dict.fromkeys(COMPANIONS[name], ""),
            **{f"{name}{ending}": "" for ending in (".bak", ".py", "2.txt")},
            **({} if "/" in name else {name: ""}),
        }
    )
    wanted = {"model.py", *COMPANIONS[name], *([] if "/" in name else [name])}
    assert set(names(projects.plan("model.py:predict"))) == wanted


LISTING = {
    "glob": "sorted(glob.glob('*.txt'))",
    "glob in the folder of the code": "sorted(glob.glob(os.path.join(HERE, '*.txt')))",
    "a path's": "sorted(Path(__file__).parent.glob('*.txt'))",
    "through folders": "sorted(Path(HERE).rglob('w*.txt'))",
    "listdir": "[p for p in sorted(os.listdir(HERE)) if p.endswith('.txt')]",
    "iterdir": "[p for p in sorted(Path(HERE).iterdir()) if p.suffix == '.txt']",
    "a name that an input makes": "[Path(__file__).parent / f'{x}.txt' for x in xs]",
    "joined": "[os.path.join(HERE, x + '.txt') for x in xs]",
    "formatted": "[f'{HERE}/{x}.txt' for x in xs]",
}


@pytest.mark.parametrize("how", LISTING)
def test_files_beside_the_code_may_be_listed_when_it_is_called(projects, names, how):
    """What matches comes along, not all that lies there."""
    code = (
        f"import glob\n{HEAD}HERE = os.path.dirname(os.path.abspath(__file__))\n"
        f"def predict(xs):\n    return [open(at).read() for at in {LISTING[how]}]\n"
    )
    projects.write({"model.py": code, "words.txt": "hello", "train.py": "", ".env": "secret"})
    plan = projects.plan("model.py:predict", input_type="strings")
    assert names(plan) == ["model.py", "words.txt"]
    assert projects.answers(plan, "words") == ["hello"]


def test_what_matches_and_is_large_is_said(projects, names):
    """With the pattern that takes it along."""
    code = f"{HEAD}def predict(xs):\n    return [*Path(__file__).parent.glob('*.bin')]\n"
    projects.write({"model.py": code})
    with (projects.root / "huge.bin").open("wb") as file:
        file.truncate(100 << 20)
    plan = projects.plan("model.py:predict")
    assert names(plan) == ["model.py"]
    (remark,) = plan.found.remarks
    assert remark.startswith("'*.bin' (1 files, 105 MB) is named in the code")
    assert "--include '*.bin' takes it along" in remark
    assert projects.plan("model.py:predict", "*.bin").found.remarks == ()


def test_what_is_opened_to_learn_of_packages_stays(projects, names):
    """An editable install has its files in a project; the kernel tells of these as of any."""
    projects.write(
        {
            "ours.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: ours\nVersion: 1\n",
            "ours.egg-info/top_level.txt": "ours\n",
            "ours.py": "",
            "model.py": "import ours, numpy\n" + model_of("'hello'"),
        }
    )
    assert names(projects.plan("model.py:Model")) == ["model.py", "ours.py"]
