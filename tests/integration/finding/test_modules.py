"""The user's own modules come along, wherever Python would have found them."""

import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest

import servd
from model_runtime.discover import IN_REPLICAS
from servd.errors import TargetError
from servd.finding.installed import is_installed, is_left_out, is_own
from servd.packing.pickle_scan import scan

PREDICT = "def predict(inputs):\n    return [scale(sum(x)) for x in inputs]\n"
SCALE = "def scale(x):\n    return 2 * x\n"
LAYOUTS = {
    "beside": ("model.py", {"model.py": "from pre import scale\n", "pre.py": SCALE}),
    "package beside": (
        "model.py",
        {"model.py": "from lib.pre import scale\n", "lib/__init__.py": "", "lib/pre.py": SCALE},
    ),
    "namespace package": (
        "model.py",
        {"model.py": "from lib.deep.pre import scale\n", "lib/deep/pre.py": SCALE},
    ),
    "through another": (
        "model.py",
        {"model.py": "from a import scale\n", "a.py": "from b import scale\n", "b.py": SCALE},
    ),
    "relative": (
        "pkg/model.py",
        {"pkg/model.py": "from .pre import scale\n", "pkg/__init__.py": "", "pkg/pre.py": SCALE},
    ),
    "relative, without __init__": (
        "pkg/model.py",
        {"pkg/model.py": "from .pre import scale\n", "pkg/pre.py": SCALE},
    ),
    "relative, two up": (
        "app/serve/model.py",
        {
            "app/serve/model.py": "from ..common.pre import scale\n",
            "app/common/pre.py": SCALE,
        },
    ),
    "relative, of a sibling's name": (
        "app/serve/model.py",
        {
            "app/serve/model.py": "from .. import pre\nscale = pre.scale\n",
            "app/__init__.py": "",
            "app/serve/__init__.py": "",
            "app/pre.py": SCALE,
        },
    ),
    "its own package by name": (
        "pkg/model.py",
        {"pkg/model.py": "from pkg.pre import scale\n", "pkg/__init__.py": "", "pkg/pre.py": SCALE},
    ),
    "a package beside the folder, with a marker": (
        "models/model.py",
        {
            "setup.py": "",
            "models/model.py": "from lib.pre import scale\n",
            "lib/__init__.py": "",
            "lib/pre.py": SCALE,
        },
    ),
    "a package beside the folder, without one": (
        "models/model.py",
        {"models/model.py": "from lib.pre import scale\n", "lib/pre.py": SCALE},
    ),
    "src": (
        "models/model.py",
        {
            "pyproject.toml": "",
            "models/model.py": "from lib.pre import scale\n",
            "src/lib/__init__.py": "",
            "src/lib/pre.py": SCALE,
        },
    ),
    "sys.path by os.path": (
        "serving/model.py",
        {
            "serving/model.py": (
                "import os, sys\n"
                "HERE = os.path.dirname(os.path.abspath(__file__))\n"
                "sys.path.insert(0, os.path.join(HERE, '..', 'common'))\n"
                "from pre import scale\n"
            ),
            "common/pre.py": SCALE,
        },
    ),
    "sys.path by pathlib": (
        "serving/model.py",
        {
            "serving/model.py": (
                "import sys\nfrom pathlib import Path\n"
                "sys.path += [str(Path(__file__).resolve().parent.parent / 'common')]\n"
                "from pre import scale\n"
            ),
            "common/pre.py": SCALE,
        },
    ),
    "sys.path by parents": (
        "a/b/model.py",
        {
            "a/b/model.py": (
                "import sys\nfrom pathlib import Path\n"
                "sys.path.append(str(Path(__file__).parents[2] / 'common'))\n"
                "def scale(x):\n    from pre import scale\n    return scale(x)\n"
            ),
            "common/pre.py": SCALE,
        },
    ),
    "sys.path from the working folder": (
        "serving/model.py",
        {
            "serving/model.py": (
                "import sys\nsys.path.append('common')\n"
                "def scale(x):\n    import pre\n    return pre.scale(x)\n"
            ),
            "common/pre.py": SCALE,
        },
    ),
    "inside a function": (
        "model.py",
        {
            "model.py": "def scale(x):\n    from pre import scale\n    return scale(x)\n",
            "pre.py": SCALE,
        },
    ),
    "import_module": (
        "model.py",
        {
            "model.py": (
                "import importlib\n"
                "def scale(x):\n    return importlib.import_module('lib.pre').scale(x)\n"
            ),
            "lib/pre.py": SCALE,
        },
    ),
    "__import__": (
        "model.py",
        {"model.py": "def scale(x):\n    return __import__('pre').scale(x)\n", "pre.py": SCALE},
    ),
    "a computed name in a package": (
        "model.py",
        {
            "model.py": (
                "from importlib import import_module\n"
                "def scale(x):\n    return import_module(f'lib.{chr(112)}re').scale(x)\n"
            ),
            "lib/pre.py": SCALE,
        },
    ),
    "a module of the package that a plugin's name makes": (
        "model.py",
        {
            "model.py": (
                "import importlib, lib\n"
                "def scale(x):\n"
                "    return importlib.import_module('.' + 'erp'[::-1], 'lib').scale(x)\n"
            ),
            "lib/__init__.py": "",
            "lib/pre.py": SCALE,
        },
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_code_works_as_it_lies(projects, layout):
    """What plain Python runs in the project, the bundle runs without it."""
    target, files = LAYOUTS[layout]
    projects.write({**files, target: files[target] + PREDICT})
    assert projects.answers(projects.plan(f"{target}:predict"), [1, 2]) == [6.0]


@pytest.mark.parametrize("layout", ["relative", "relative, two up", "sys.path by os.path"])
def test_where_the_user_is_does_not_matter(projects, layout):
    """The file's folder and the folder of the shell are not the same thing."""
    target, files = LAYOUTS[layout]
    projects.write({**files, target: files[target] + PREDICT})
    plan = projects.plan("model.py:predict", cwd=target.rpartition("/")[0])
    assert projects.answers(plan, [1, 2]) == [6.0]


STEP = (
    "from helpers import half\n\n"
    "class Step:\n"
    "    def predict(self, X):\n"
    "        return [half(float(sum(x))) for x in X]\n"
)


def dumped(projects, code, cwd=""):
    """Run code that writes a pickle, in the project."""
    subprocess.run(
        [sys.executable, "-c", code], cwd=projects.root / cwd, check=True, timeout=60,
        env={"PYTHONPATH": f"{projects.root}:{projects.root / 'src'}"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("place", "marker"),
    [
        ("steps.py", ""),
        ("models/steps.py", ""),
        ("lib/steps.py", ""),
        ("src/lib/steps.py", "pyproject.toml"),
        ("src/lib/steps.py", ""),
    ],
)
def test_the_modules_of_a_pickle_are_found(projects, place, marker):
    """Beside it, above it, below src; and what they import themselves."""
    folder = place.rpartition("/")[0].replace("src/", "").replace("models", "")
    module = f"{folder}.steps".strip(".")
    package = "from .helpers import half\n" if folder else "from helpers import half\n"
    projects.write(
        {
            place: package + STEP.partition("\n")[2],
            place.replace("steps", "helpers"): "def half(x):\n    return x / 2\n",
            "models/readme.txt": "",
            **({marker: ""} if marker else {}),
        }
    )
    path = "sys.path.insert(0, 'models'); " if place.startswith("models") else ""
    dumped(
        projects,
        f"import pickle, sys; {path}import {module} as m; "
        "pickle.dump(m.Step(), open('models/m.pkl', 'wb'))",
    )
    assert projects.answers(projects.plan("models/m.pkl"), [1, 2, 3]) == [3.0]


ARRAYS = {
    "doubles": np.arange(1000.0),
    "columns": np.asfortranarray(np.arange(1000.0).reshape(10, 100)),
    "booleans": np.ones(77, bool),
    "texts": np.array(["one", "three"]),
    "bytes": np.array([b"ab", b"c"]),
    "none": np.zeros((0, 3)),
    "scalar": np.array(3.5),
    "records": np.zeros(9, [("a", "i4"), ("b", "f8")]),
    "dates": np.array(["2020-01-01"], "datetime64[ns]"),
    "big endian": np.arange(9, dtype=">i8"),
    "complex": np.ones(3, complex),
    "objects": np.array([{"a": 1}, "text", None], object),
    "objects with arrays": np.array([np.arange(5.0), "x"], object),
}


@pytest.mark.parametrize("compress", [0, 1, ("gzip", 1), ("bz2", 1), ("xz", 1), ("lzma", 1)])
def test_a_class_behind_the_arrays_of_joblib_is_found(projects, monkeypatch, compress):
    """Raw arrays are no opcodes; what comes after them is read all the same."""
    projects.write({"steps.py": "class Step:\n    def predict(self, X):\n        return X\n"})
    monkeypatch.syspath_prepend(str(projects.root))
    step = importlib.import_module("steps").Step()
    monkeypatch.setitem(sys.modules, "steps", sys.modules.pop("steps"))
    for kind, array in ARRAYS.items():
        joblib.dump([array, step], projects.root / "m.joblib", compress=compress)
        found = scan(projects.root / "m.joblib")
        assert ("steps" in found.modules, found.guesses) == (True, ()), kind


def test_a_class_behind_more_bytes_than_are_kept_is_found(projects, monkeypatch):
    """Long arrays are skipped, not read; also where the file is longer than what is searched."""
    projects.write({"steps.py": "class Step:\n    def predict(self, X):\n        return X\n"})
    monkeypatch.syspath_prepend(str(projects.root))
    step = importlib.import_module("steps").Step()
    monkeypatch.setitem(sys.modules, "steps", sys.modules.pop("steps"))
    model = [np.zeros(9_000_000), step]
    joblib.dump(model, projects.root / "m.joblib")
    (projects.root / "m.pkl").write_bytes(pickle.dumps(model))
    for name in ("m.joblib", "m.pkl"):
        assert "steps" in scan(projects.root / name).modules


def test_what_is_not_there_is_not_said_to_be_on_an_index(projects):
    """The hint looks in the project first; only what is nowhere can be installed."""
    projects.write(
        {"tools/odd place/pre.py": SCALE, "model.py": "from pre import scale\n" + PREDICT}
    )
    with pytest.raises(TargetError, match="No module named 'pre'") as caught:
        projects.plan("model.py:predict")
    assert "--include 'tools/odd place/pre.py'" in caught.value.hint
    assert "pip install" not in caught.value.hint
    plan = projects.plan("model.py:predict", "tools/odd place/pre.py")
    assert projects.answers(plan, [1, 2]) == [6.0]
    (projects.root / "tools/odd place/pre.py").unlink()
    with pytest.raises(TargetError, match="No module named 'pre'") as caught:
        projects.plan("model.py:predict")
    assert "pip install pre" in caught.value.hint


def test_the_module_of_a_pickle_that_lies_oddly_is_named(projects):
    """Also for a pickle, which is not loaded to find out."""
    projects.write({"tools/deep/own.py": "class Step: ...\n"})
    (projects.root / "m.pkl").write_bytes(b"\x80\x02cown\nStep\n)\x81.")
    with pytest.raises(TargetError, match="needs own, which is not installed") as caught:
        projects.plan("m.pkl")
    assert "--include tools/deep/own.py" in caught.value.hint
    assert "pip install" not in caught.value.hint


def test_a_module_that_only_scripts_and_type_checkers_import_stays(projects, names):
    """What is under `if __name__ == "__main__":` does not run in a replica."""
    projects.write(
        {
            "model.py": (
                "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import types_only\n"
                + PREDICT
                + "def scale(x):\n    return x\n"
                "if __name__ == '__main__':\n    import training\n    open('data.csv')\n"
            ),
            "training.py": "",
            "types_only.py": "",
            "data.csv": "",
        }
    )
    assert names(projects.plan("model.py:predict")) == ["model.py"]


def test_environments_and_tools_stay(projects, names):
    """Nothing of a virtual environment, a cache or a version control comes along."""
    projects.write(
        {
            "pkg/__init__.py": "",
            "pkg/model.py": "from . import pre\ndef predict(xs):\n    return [1 for _ in xs]\n",
            "pkg/pre.py": "",
            "pkg/.venv/lib/x.py": "",
            "pkg/env/pyvenv.cfg": "",
            "pkg/env/lib/y.py": "",
            "pkg/node_modules/z.py": "",
            "pkg/__pycache__/q.py": "",
        }
    )
    plan = projects.plan("pkg/model.py:predict")
    assert names(plan) == ["pkg/__init__.py", "pkg/model.py", "pkg/pre.py"]


def test_of_a_large_package_only_what_is_imported_comes_along(projects, names):
    """A small one comes along whole."""
    projects.write({f"big/part{number}.py": "" for number in range(500)})
    projects.write(
        {
            "big/__init__.py": "",
            "big/used.py": "from big.part7 import *\n",
            "model.py": "from big import used\ndef predict(xs):\n    return [1 for _ in xs]\n",
        }
    )
    plan = projects.plan("model.py:predict")
    assert names(plan) == ["big/__init__.py", "big/part7.py", "big/used.py", "model.py"]


def test_a_module_is_taken_under_the_name_of_its_link(projects, tmp_path):
    """Of a file, of a package's folder, and of the target itself; loops end."""
    projects.write({"lib/__init__.py": "", "lib/pre.py": SCALE})
    (projects.root / "lib" / "again").symlink_to(projects.root / "lib")
    store = tmp_path / "store"
    store.mkdir()
    (projects.root / "lib").rename(store / "v2")
    (projects.root / "lib").symlink_to(store / "v2")
    (store / "blob").write_text("from lib.pre import scale\nfrom other import one\n" + PREDICT)
    (projects.root / "model.py").symlink_to(store / "blob")
    (store / "other_v1.py").write_text("one = 1\n")
    (projects.root / "other.py").symlink_to(store / "other_v1.py")
    plan = projects.plan("model.py:predict")
    store.rename(tmp_path / "gone")
    (tmp_path / "gone").rename(store)
    assert projects.answers(plan, [1, 2]) == [6.0]


def test_a_target_that_is_a_link_finds_what_lies_beside_either(projects, names):
    """Python runs a linked script beside its neighbours; the link's own are there too."""
    projects.write(
        {
            "v2/model.py": "from near import scale\n" + PREDICT,
            "v2/near.py": SCALE,
        }
    )
    (projects.root / "current.py").symlink_to("v2/model.py")
    plan = projects.plan("current.py:predict")
    assert projects.answers(plan, [1, 2]) == [6.0]
    assert names(plan) == ["current.py", "v2/near.py"]


def test_modules_that_the_environment_names_come_along(projects, tmp_path, monkeypatch):
    """A daemon need not have the PYTHONPATH of whoever deploys."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "pre.py").write_text(SCALE)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    projects.write({"model.py": "from pre import scale\n" + PREDICT})
    plan = projects.plan("model.py:predict")
    monkeypatch.delenv("PYTHONPATH")
    folder.rename(tmp_path / "hidden")
    (tmp_path / "hidden").rename(folder)
    assert projects.answers(plan, [1, 2]) == [6.0]


def test_packages_that_are_imported_late_are_in_the_manifest(projects):
    """An image needs them as soon as the model is called."""
    projects.write(
        {
            "model.py": "import pre\ndef predict(xs):\n    import yaml\n    return xs\n",
            "pre.py": "def late():\n    import msgpack\n",
        }
    )
    assert {"PyYAML", "msgpack"} <= set(projects.plan("model.py:predict").manifest.packages)


def test_packages_of_a_pickles_modules_are_in_the_manifest(projects):
    """The pickle itself names only the module."""
    projects.write(
        {"own.py": "import yaml\nclass Step:\n    def predict(self, X):\n        return X\n"}
    )
    (projects.root / "m.pkl").write_bytes(b"\x80\x02cown\nStep\n)\x81.")
    assert "PyYAML" in projects.plan("m.pkl").manifest.packages


def test_a_pickle_without_own_modules_is_not_loaded(projects):
    """Reading is enough, and what it would do is not done here."""
    (projects.root / "m.pkl").write_bytes(pickle.dumps(range(3)))
    assert projects.plan("m.pkl").found.files == (projects.root / "m.pkl",)


SPREAD = {
    "model.py": (
        "def predict(xs):\n    from ns.deep.b import scale\n    return [scale(x) for x in xs]\n"
    ),
    "ns/a.py": "",
    "ns/deep/a.py": "",
    "lib/ns/deep/b.py": "def scale(x):\n    from ns.a import __name__ as n\n    return len(n)\n",
}


@pytest.mark.parametrize("is_pickle", [False, True])
@pytest.mark.parametrize("how", ["environment", "code", "include"])
def test_a_package_without_init_may_lie_in_several_folders(projects, monkeypatch, is_pickle, how):
    """Python looks in all of them; so does a replica, for what a function imports later as well."""
    files = dict(SPREAD)
    if how == "code":
        head = "import sys\nfrom pathlib import Path\n"
        head += "sys.path.append(str(Path(__file__).parent / 'lib'))\n"
        files["model.py"] = head + files["model.py"]
    projects.write(files)
    if how == "environment":
        monkeypatch.setenv("PYTHONPATH", ".:lib")
        monkeypatch.setattr(sys, "path", ["", str(projects.root), str(projects.root / "lib")])
    if is_pickle:
        (projects.root / "m.pkl").write_bytes(b"\x80\x02cmodel\npredict\n.")
    included = ["lib/ns/deep/b.py"] if how == "include" else []
    plan = projects.plan("m.pkl" if is_pickle else "model.py:predict", *included)
    monkeypatch.undo()
    monkeypatch.chdir(projects.root)
    assert projects.answers(plan, [1.0]) == [4]


def test_a_package_of_the_users_may_share_its_name_with_an_installed_one(projects, monkeypatch):
    """What is not in the folder is left to the environment, what is there comes along."""
    elsewhere = projects.root.parent / "site-packages"
    (elsewhere / "corp").mkdir(parents=True)
    (elsewhere / "corp" / "core.py").write_text("def one():\n    return 1\n")
    monkeypatch.syspath_prepend(str(elsewhere))
    projects.write(
        {
            "model.py": (
                "def predict(xs):\n    from corp.mine import two\n    import corp.core\n"
                "    return [two() for _ in xs]\n"
            ),
            "corp/mine.py": "def two():\n    return 2\n",
        }
    )
    is_installed.cache_clear()
    try:
        plan = projects.plan("model.py:predict")
    finally:
        is_installed.cache_clear()
    assert {"corp/mine.py", "model.py"} == {entry["name"] for entry in plan.contents}


def test_servds_own_packages_are_told_by_where_they_lie(projects, names, monkeypatch):
    """An editable clone is a project: its own packages stay, whoever imports them."""
    clone = Path(servd.__file__).parents[1]
    code = (
        "from servd import client\nimport model_runtime.outputs\ndef predict(xs):\n    return xs\n"
    )
    projects.write({"model.py": code})
    monkeypatch.setenv("PYTHONPATH", str(clone))
    monkeypatch.syspath_prepend(str(clone))
    assert names(projects.plan("model.py:predict")) == ["model.py"]
    assert is_own(clone / "servd" / "cli" / "main.py")
    assert is_left_out(clone / "model_runtime" / "loop.py", clone, is_opened=True)
    assert not is_own(clone / "examples")
    assert not is_own(projects.root / "servd" / "main.py")


@pytest.mark.parametrize("name", ["servd", "k8s_adapter", "utils", "profile", "statistics"])
@pytest.mark.parametrize("is_late", [False, True])
def test_a_module_of_the_users_may_have_the_name_of_another(projects, name, is_late):
    """Beside the file it comes first, as Python has it: of servd's packages, of Python's own."""
    at = "    " if is_late else ""
    code = f"{at}from {name} import scale\n"
    body = PREDICT.replace("\n", f"\n{code}", 1) if is_late else code + PREDICT
    projects.write({"model.py": body, f"{name}.py": SCALE})
    assert projects.answers(projects.plan("model.py:predict"), [1, 2]) == [6.0]


@pytest.mark.parametrize("target", ["servd", "model_runtime", "json", "msgpack"])
def test_a_target_may_have_any_name(projects, target):
    """It is loaded by its path."""
    projects.write({f"{target}.py": SCALE + PREDICT})
    assert projects.answers(projects.plan(f"{target}.py:predict"), [1, 2]) == [6.0]


@pytest.mark.parametrize("place", ["model_runtime.py", "model_runtime/__init__.py"])
@pytest.mark.parametrize("is_late", [False, True])
def test_the_runtimes_name_is_taken(projects, place, is_late):
    """A replica has imported it: that is said before anything is loaded, with what to do."""
    at = "    " if is_late else ""
    code = f"{at}from model_runtime import scale\n"
    body = PREDICT.replace("\n", f"\n{code}", 1) if is_late else code + PREDICT
    projects.write({"model.py": body, place: SCALE})
    shown = place.removesuffix("/__init__.py")
    with pytest.raises(TargetError, match=f"{shown} cannot be imported in a replica") as caught:
        projects.plan("model.py:predict")
    assert "rename it" in caught.value.hint


def test_names_that_a_replica_has_imported_before_are_said(projects):
    """Of Python's and of other libraries; what is there is not what a model of that name gets."""
    projects.write(
        {
            "model.py": "def predict(xs):\n    import json, zmq, lonely\n    return xs\n",
            **dict.fromkeys(["json.py", "zmq.py", "lonely.py"], ""),
        }
    )
    remarks = projects.plan("model.py:predict").found.remarks
    assert [remark.partition(" in a replica")[0] for remark in remarks] == [
        "json.py is not what `import json` gives",
        "zmq.py is not what `import zmq` gives",
    ]
    assert all("rename it" in remark for remark in remarks)
    projects.write({"model.py": "from json import scale\n" + PREDICT})
    with pytest.raises(TargetError, match="cannot import name 'scale' from 'json'") as caught:
        projects.plan("model.py:predict")
    assert caught.value.hint == remarks[0]


def test_what_a_replica_imports_is_known():
    """The modules that are there before a model's are those that the finder believes to be."""
    code = "import sys, model_runtime.__main__; print(*{n.partition('.')[0] for n in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    code = code.replace("__main__", "discover")
    known = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    more = set(done.stdout.split()) - set(known.stdout.split()) - sys.stdlib_module_names
    assert {name for name in more if not name.startswith("_")} <= IN_REPLICAS


def test_a_module_behind_an_installed_one_is_said(projects, monkeypatch, names):
    """In a folder that Python looks in last; --include takes it in place of the other."""
    monkeypatch.syspath_prepend(str(projects.root.parent / "site-packages"))
    projects.write(
        {
            "models/model.py": "from shared_utils import scale\n" + PREDICT,
            "shared_utils.py": SCALE,
            "../site-packages/shared_utils.py": "def scale(x):\n    return -1\n",
        }
    )
    monkeypatch.setenv("PYTHONPATH", str(projects.root.parent / "site-packages"))
    plan = projects.plan("models/model.py:predict")
    assert names(plan) == ["models/model.py"] or names(plan) == ["model.py"]
    (remark,) = plan.found.remarks
    assert remark.startswith("shared_utils.py is not what `import shared_utils` gives")
    plan = projects.plan("models/model.py:predict", "shared_utils.py")
    assert plan.found.remarks == ()
    assert projects.answers(plan, [1, 2]) == [6.0]


def test_of_several_modules_of_a_name_it_is_said_which_is_taken(projects):
    """Where Python alone would look in neither of the folders; --include chooses."""
    projects.write(
        {
            "app/deep/model.py": "def scale(x):\n    from pre import scale\n    return scale(x)\n"
            + PREDICT,
            "app/pre.py": SCALE,
            "pre.py": "def scale(x):\n    return -x\n",
            "app/setup.py": "",
        }
    )
    plan = projects.plan("deep/model.py:predict", cwd="app")
    assert plan.found.remarks == ()  # the project's own folder is not doubtful
    (projects.root / "app/setup.py").unlink()
    plan = projects.plan("model.py:predict", cwd="app/deep")
    (remark,) = plan.found.remarks
    assert remark == (
        "`import pre` was taken to mean ../pre.py; of that name is also "
        f"{projects.root / 'pre.py'}. --include chooses"
    )
    assert projects.answers(plan, [1, 2]) == [6.0]
    plan = projects.plan("model.py:predict", "../../pre.py", cwd="app/deep")
    assert projects.answers(plan, [1, 2]) == [-3.0]


def test_an_included_module_whose_name_is_taken_is_said(projects):
    """Beside the file it comes first, and of two that are included the first."""
    projects.write({"model.py": "from pre import scale\n" + PREDICT, "pre.py": SCALE})
    projects.write({f"{folder}/pre.py": "def scale(x):\n    return x\n" for folder in "ab"})
    (remark,) = projects.plan("model.py:predict", "b/pre.py").found.remarks
    assert remark == (
        "`import pre` was taken to mean pre.py; of that name is also b/pre.py. Rename one of them"
    )
    (projects.root / "pre.py").unlink()
    plan = projects.plan("model.py:predict", "a/pre.py", "b/pre.py")
    (remark,) = plan.found.remarks
    assert remark == (
        "`import pre` was taken to mean a/pre.py; of that name is also b/pre.py. Rename one of them"
    )
    assert projects.plan("model.py:predict", "b/pre.py").found.remarks == ()
