"""Where a package is missing, and what installs it there."""

from dataclasses import replace

import pytest

from servd.environments.interpreter import own
from servd.environments.shelf import MARK
from servd.errors import TargetError
from servd.finding.missing import install
from servd.finding.needs import Needs, Place
from servd.packing.code import checked

NO_PANDAS = {"error": {"message": "ModuleNotFoundError: No module named 'no_such_pandas'"}}


def place(folder, name=".venv", modules=("pip",)):
    """Return an environment in a folder, that has only these modules."""
    prefix = folder / name
    other = replace(
        own(),
        path=prefix / "bin/python",
        prefix=prefix,
        sys_path=(),
        modules=frozenset(modules),
        is_own=False,
    )
    return Place(cwd=folder, interpreter=other)


def built(folder):
    """Return an environment that servd has built."""
    made = place(folder, "built", ())
    made.interpreter.prefix.mkdir()
    (made.interpreter.prefix / MARK).write_text("{}")
    return made


def hint_of(folder, there):
    """Return what is said of a file that imports what is not there, beside requirements.txt."""
    file = folder / "model.py"
    file.write_text("import no_such_pandas\n")
    (folder / "requirements.txt").write_text("no-such-pandas\n")
    with pytest.raises(TargetError, match="No module named") as caught:
        checked(NO_PANDAS, file, Needs(file, there), there)
    return caught.value.hint


@pytest.mark.parametrize(
    ("modules", "command"),
    [
        (("pip",), ".venv/bin/python -m pip install"),
        ((), "uv pip install --python .venv/bin/python"),
    ],
)
def test_the_command_is_that_of_the_models_environment(tmp_path, modules, command):
    """Also where a file names what is missing: pip alone may be another Python's."""
    there = place(tmp_path, modules=modules)
    assert install(there, "x", "y>=1") == f"{command} x 'y>=1'"
    assert hint_of(tmp_path, there) == (
        "requirements.txt asks for no-such-pandas, which is not installed in .venv: "
        f"{command} -r requirements.txt"
    )


def test_servd_as_a_tool_makes_an_environment_of_the_models_own(tmp_path):
    """Without a pip of its own, pip on the path is that of another Python."""
    there = place(tmp_path, "tool", ())
    tool = replace(there, interpreter=replace(there.interpreter, is_own=True))
    assert install(tool, "xgboost") == (
        "--env auto makes the model an environment that has it; or "
        "uv pip install --python tool/bin/python xgboost"
    )


def test_nothing_is_installed_into_what_servd_has_built(tmp_path):
    """It is shared, and made of what it was asked for, which may be another file."""
    hint = hint_of(tmp_path, built(tmp_path))
    assert hint == (
        "no_such_pandas is not installed in built: "
        "add no_such_pandas to the requirements that this environment is made of"
    )
