"""Errors become one message and an exit code; global options stand anywhere."""

import json
from pathlib import Path

import pytest

import servd
from servd.cli import main
from servd.cli.main import _import_problem, exit_code, report
from servd.errors import (
    ConfigError,
    ConflictError,
    DaemonNotRunningError,
    InvalidNameError,
    ModelNotFoundError,
    ServdError,
    TargetError,
)

ROOT = Path(servd.__file__).parents[1]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ServdError("x"), 1),
        (ConflictError("x"), 1),
        (TargetError("x"), 1),
        (ConfigError("x"), 2),
        (InvalidNameError("x"), 2),
        (DaemonNotRunningError("/x"), 3),
        (ModelNotFoundError("x"), 4),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error, code):
    """0 ok, 1 failed, 2 usage, 3 daemon not running, 4 not found."""
    assert exit_code(error) == code


def test_an_error_is_message_traceback_hint(capsys):
    """In this order, on stderr."""
    report(ServdError("it broke", hint="mend it", traceback="File x\nValueError: y"), is_json=False)
    shown = capsys.readouterr()
    assert shown.err == "error: it broke\nFile x\nValueError: y\nhint:  mend it\n"
    assert shown.out == ""


def test_a_traceback_without_frames_is_not_repeated(capsys):
    """It would be the message again."""
    report(ServdError("TypeError: x", traceback="TypeError: x\n"), is_json=False)
    assert capsys.readouterr().err == "error: TypeError: x\n"


def test_an_error_in_json_mode_is_one_object(capsys):
    """Programs read it from stderr."""
    report(ServdError("it broke", hint="mend it"), is_json=True)
    error = json.loads(capsys.readouterr().err)["error"]
    assert error == {"code": "internal", "message": "it broke", "hint": "mend it", "traceback": ""}


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (("deply",), "unknown command 'deply'", "did you mean deploy?"),
        (("app", "creat"), "unknown command 'creat'", "did you mean create?"),
        (("ps", "--jsn"), "unknown option '--jsn'", "did you mean --json?"),
        (("deploy",), "missing argument 'TARGET'", "servd deploy --help"),
        (("scale", "m", "x"), "N: 'x' is not a whole number", "servd scale --help"),
        (("scale", "m", "-1"), "N must be 0 or above, not -1", "servd scale --help"),
        (("stop", "--drain", "soon"), "--drain: 'soon' is not a duration", "servd stop --help"),
        (("app", "create", "a", "--slo", "0"), "--slo must be above zero, not 0", "--help"),
        (
            ("ps", "--admin", "ftp://x"),
            "--admin: 'ftp://x' is not an address",
            "http://127.0.0.1:1338",
        ),
        (("start", "--query-port", "70000"), "--query-port: '70000' is not a port", None),
    ],
)
def test_a_wrong_command_line_exits_with_2(run, data_dir, args, message, hint):
    """The message says what, the hint what instead."""
    assert data_dir
    done = run(*args)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[0].startswith(f"error: {message}")
    assert hint is None or hint in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("args", [(), ("app",), ("model",)])
def test_a_group_alone_shows_its_help(run, args):
    """It goes to stderr, as nothing was done."""
    done = run(*args)
    assert done.exit_code == 2
    assert "Commands:" in done.stderr


@pytest.mark.parametrize(
    "verb",
    [
        *(("start",), ("run",), ("stop",), ("status",), ("deploy",), ("predict",), ("ps",)),
        *(("logs",), ("scale",), ("rollback",), ("rm",), ("version",), ("app", "create")),
        *(("app", "link"), ("model", "ls")),
    ],
)
def test_the_help_of_a_verb_ends_with_examples(run, verb):
    """Two of them, that can be copied."""
    done = run(*verb, "--help")
    assert done.exit_code == 0
    examples = done.stdout.partition("Examples:")[2].strip().splitlines()
    assert len(examples) == 2
    assert all(line.strip().startswith("servd ") for line in examples)


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (("ls",), "servd ps lists replicas, servd app ls applications, servd model ls models"),
        (("restart",), "servd stop, then servd start; models come back up"),
        (("serve",), "servd deploy FILE serves a model; servd start, the daemon"),
        (("undeploy",), "servd rm NAME"),
        (("link",), "servd app link --help"),
        (("app", "list"), "did you mean ls?"),
        (("app", "delete", "x"), "did you mean rm?"),
        (("model", "describe"), "did you mean show?"),
        (("app", "add"), "did you mean create?"),
        (("model", "add"), "servd model --help"),
    ],
)
def test_a_verb_of_other_tools_has_a_hint(run, args, hint):
    """What it would be here; not the verb that is spelt most alike."""
    done = run(*args)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[1] == f"hint:  {hint}"


@pytest.mark.parametrize(
    ("args", "usage"),
    [
        (("help",), "Usage: servd [OPTIONS] COMMAND"),
        (("help", "deploy"), "Usage: servd deploy [OPTIONS]"),
        (("help", "app"), "Usage: servd app [OPTIONS] COMMAND"),
        (("help", "app", "create"), "Usage: servd app create [OPTIONS] NAME"),
        (("app", "help"), "Usage: servd app [OPTIONS] COMMAND"),
        (("app", "help", "create"), "Usage: servd app create [OPTIONS] NAME"),
    ],
)
def test_help_is_a_verb_too(run, args, usage):
    """`servd help VERB` is `servd VERB --help`."""
    done = run(*args)
    assert done.exit_code == 0
    assert done.stdout.startswith(usage)


def test_help_of_a_verb_that_there_is_not_names_the_nearest(run):
    """As the verb itself would."""
    done = run("help", "deply")
    assert done.exit_code == 2
    assert "did you mean deploy?" in done.stderr


def test_an_error_of_several_lines_is_one_error(capsys):
    """What somebody wrote begins no line and steers no terminal; a hint can be pasted."""
    error = ServdError("boom\nerror: none\x1b[2J", hint="mend\nhint: x", traceback="a\n\tb\x9b1m")
    report(error, is_json=False)
    assert capsys.readouterr().err.split("\n") == [
        "error: boom",
        "       error: none\\x1b[2J",
        "a",
        "\tb\\x9b1m",
        "hint:  mend",
        "hint: x",
        "",
    ]


def test_the_version_is_told(run):
    """As a verb and as an option."""
    assert run("--version").stdout.startswith("servd 0")
    assert run("-V").stdout == run("--version").stdout
    assert "python" in json.loads(run("version", "--json").stdout)


def test_an_interrupt_exits_with_130(run, monkeypatch):
    """As shells expect of a command that Ctrl-C ended."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(main.click.Group, "main", interrupted)
    assert run("ps").exit_code == 130


def test_another_module_that_is_missed_is_a_fault_of_servds(monkeypatch):
    """Its traceback is needed."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with pytest.raises(ImportError, match="no_such_page"):
        _import_problem(ImportError("no_such_page", name="servd.cli.no_such_page"))
