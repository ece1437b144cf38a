"""Which environment a model gets: the rules, over what was found."""

from dataclasses import replace
from pathlib import Path

import pytest

from servd.environments.interpreter import own
from servd.errors import InvalidValueError, TargetError
from servd.finding.active import Active
from servd.finding.requirement_files import Declared
from servd.packing.choice import EnvironmentOptions, Surroundings, choose, options_of

CWD = Path("/work")
OWN = replace(own(), version="3.11.7")
VENV = replace(
    OWN,
    path=CWD / ".venv/bin/python",
    prefix=CWD / ".venv",
    base_prefix=Path("/usr"),
    version="3.12.1",
    sys_path=(),
    is_own=False,
)
NONE = Active(interpreter=None)
ACTIVE = Active(interpreter=VENV, why="it is active")


def file(name, *lines, **more):
    """Return a file of the project that says these lines."""
    return Declared(file=CWD / name, lines=lines, **more)


def around(active=NONE, *declared, **more):
    """Return what was found around a target."""
    return Surroundings(cwd=CWD, own=OWN, active=active, declared=declared, **more)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"env": "conda"}, "--env conda is no environment: it is shared, auto, new or venv:PATH"),
        ({"env": "venv:"}, "is no environment"),
        ({"env": "shared", "requirements": Path("r.txt")}, "--requirements makes a new"),
        ({"env": "auto", "requirements": Path("r.txt")}, "--env auto is another"),
        ({"env": "venv:x", "requirements": Path("r.txt")}, "--env venv:x is another"),
        ({"env": "shared", "python": "3.12"}, "--env shared is there already"),
        ({"env": "venv:x", "python": "3.12"}, "--env venv:x is there already"),
        ({"python": "3.8"}, "models do not run in Python 3.8: they do in 3.9 to 3.14"),
        ({"python": "2.7.18"}, "models do not run in Python 2.7.18"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, words):
    """Two flags that contradict each other name each other."""
    with pytest.raises(InvalidValueError, match=words.replace("(", r"\(")):
        EnvironmentOptions(**given)


def test_variables_count_where_no_flag_is_given():
    """One flag is enough for none of the variables to count: they might contradict it."""
    environ = {"SERVD_ENV": "auto", "SERVD_PYTHON": "3.12", "SERVD_ENV_REQUIREMENTS": ""}
    assert options_of(None, None, None, environ).env == "auto"
    assert options_of(None, None, None, environ).python == "3.12"
    assert options_of("shared", None, None, environ) == EnvironmentOptions(env="shared")
    assert options_of(None, "r.txt", None, environ).requirements == Path("r.txt")


def test_what_is_said_wins_over_what_is_active():
    """The line says which it is, and that it was said."""
    shared = choose(EnvironmentOptions(env="shared"), around(ACTIVE))
    assert shared.interpreter is OWN
    assert shared.line == "servd's own environment (Python 3.11.7), as --env shared says"
    named = choose(EnvironmentOptions(env="venv:x"), around(NONE, named=VENV))
    assert named.line == ".venv (Python 3.12.1), as --env venv:x says"
    python = choose(EnvironmentOptions(python="/x/python"), around(NONE, named=VENV))
    assert python.interpreter is VENV


def test_the_active_environment_is_the_default():
    """What it lacks of what the project asks for is said, with what makes another."""
    lacking = file("requirements.txt", "no-such-thing==1", python=">=3.13")
    choice = choose(EnvironmentOptions(), around(ACTIVE, lacking))
    assert choice.interpreter is VENV
    assert choice.line == ".venv (Python 3.12.1): it is active"
    first, second = choice.remarks
    assert "requirements.txt asks for no-such-thing==1, which is not installed in .venv" in first
    assert ".venv/bin/python" in first.partition("in .venv: ")[2]
    assert "--env new" in first
    assert second.startswith("requirements.txt asks for Python >=3.13, and 3.12.1 is in .venv")


def test_servds_own_is_taken_without_a_word_where_it_will_do():
    """Nothing is said of what everybody expects."""
    for declared in ((), (file("requirements.txt", "click>=1", "gone; sys_platform == 'x'"),)):
        choice = choose(EnvironmentOptions(), around(NONE, *declared))
        assert (choice.interpreter, choice.line, choice.remarks) == (OWN, "", ())
    own_active = Active(interpreter=OWN, why="it is active")
    assert choose(EnvironmentOptions(), around(own_active)).line == ""


def test_a_new_one_is_made_where_servds_own_lacks_something():
    """Unless it is the one that is active, of which it is said."""
    lacking = file("requirements.txt", "no-such-thing")
    choice = choose(EnvironmentOptions(), around(NONE, lacking))
    assert (choice.interpreter, choice.counts) == (None, lacking)
    assert choice.line == "servd's own has not what requirements.txt asks for"
    active = choose(EnvironmentOptions(), around(Active(interpreter=OWN), lacking))
    assert active.interpreter is OWN
    assert "no-such-thing, which is not installed here" in active.remarks[0]


@pytest.mark.parametrize(
    "options",
    [EnvironmentOptions(env="new"), EnvironmentOptions(python="3.13")],
)
def test_of_two_files_that_disagree_one_counts_and_it_is_said(options):
    """Only what no version can be for both is told; what is broken is passed over by name."""
    first = file("requirements.txt", "numpy==1.26.4", "six")
    second = file("pyproject.toml", "numpy>=2", "six>=1")
    broken = file("Pipfile", problem="is not TOML: …")
    choice = choose(options, around(NONE, first, second, broken))
    assert choice.counts is first
    assert choice.remarks == (
        "requirements.txt counts, and not pyproject.toml, which asks for numpy>=2",
        "Pipfile is not TOML: …: it is passed over",
    )


def test_a_file_that_was_named_counts_alone_and_has_to_be_sound():
    """What is wrong with it is an error, not a remark."""
    named = file("r.txt", "six")
    options = EnvironmentOptions(requirements=Path("r.txt"))
    assert (
        choose(options, around(ACTIVE, file("requirements.txt", "a"), given=named)).counts is named
    )
    with pytest.raises(TargetError, match=r"--requirements /work/r.txt is not a text"):
        choose(options, around(given=file("r.txt", problem="is not a text")))


@pytest.mark.parametrize(
    ("options", "active", "wanted", "python"),
    [
        ({"env": "new"}, NONE, None, None),
        ({"env": "new"}, NONE, ">=3.10", None),
        ({"env": "new"}, NONE, ">=3.12", "3.14"),
        ({"env": "new"}, NONE, "<3.11", "3.10"),
        ({"env": "new"}, NONE, "nonsense", None),
        ({"env": "new"}, ACTIVE, "<3.12", None),
        ({"env": "new", "python": "3.9"}, ACTIVE, ">=3.12", "3.9"),
        ({"python": "3.10"}, NONE, None, "3.10"),
    ],
)
def test_of_which_python_a_new_one_is(options, active, wanted, python):
    """Of the active one's, unless the file or the deployer says another."""
    declared = file("requirements.txt", "six", python=wanted)
    assert choose(EnvironmentOptions(**options), around(active, declared)).python == python


def test_a_python_that_no_model_runs_in_is_refused():
    """With the flag that takes another."""
    declared = file("pyproject.toml", "six", python="<3.8")
    with pytest.raises(TargetError, match=r"Python <3\.8 is asked for by pyproject\.toml"):
        choose(EnvironmentOptions(env="new"), around(NONE, declared))


def test_a_header_that_is_broken_is_told_whatever_is_chosen():
    """Whoever writes one means it."""
    broken = file("model.py", problem="has a script header that is not TOML: …")
    assert choose(EnvironmentOptions(), around(ACTIVE, broken)).remarks == (
        "model.py has a script header that is not TOML: …: it is passed over",
    )
