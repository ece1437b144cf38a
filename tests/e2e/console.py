"""Runs the ```console blocks of a Markdown page against a daemon, as a reader would.

A line that begins with `$ ` is a command; the lines below it are what it prints. Answers of curl
are compared as JSON, or as the events that they are (query ids aside, the last digits of numbers
too: processors differ); of other commands only the exit code counts, as times and process ids
differ.
"""

import json
import re
import shlex
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One command of a page and the text that the page shows below it."""

    line: str
    shown: str


def commands_of(page: Path) -> list[Command]:
    """Return the commands of all console blocks of a page, in their order."""
    found = []
    for block in _BLOCK.findall(page.read_text()):
        for chunk in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, shown = chunk.partition("\n")
            if "<<'END'" in line:  # what it writes is a part of the command
                text, _, shown = shown.partition("\nEND")
                line = f"{line}\n{text}\nEND"
            found.append(Command(line, shown.strip()))
    return found


def run_page(page: Path, daemon: Daemon, cwd: Path) -> int:
    """Run every command of `page` in `cwd`; return how many curl answers were compared."""
    compared = 0
    for command in commands_of(page):
        words = shlex.split(command.line)
        if words[0] == "curl":
            compared += _run_curl(words, command, daemon)
        else:
            _run_program(words, command, daemon, cwd)
    return compared


def _run_program(words: list[str], command: Command, daemon: Daemon, cwd: Path) -> None:
    if words[0] == "servd":
        done = daemon.cli(*words[1:], cwd=cwd)
    else:
        assert words[0] == "python", f"a page may run servd, python and curl: {command.line}"
        done = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=cwd,
            env=daemon.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, f"$ {command.line}\n{done.stdout}{done.stderr}"


def _run_curl(words: list[str], command: Command, daemon: Daemon) -> int:
    """Send what the curl line would send: a machine that runs the tests need not have curl."""
    if words[1] == "-N":
        return _run_stream(words[2:], command, daemon)
    path = re.sub(r"^(http://)?127\.0\.0\.1:1337", "", words[-1])
    if len(words) == 2:
        with urllib.request.urlopen(daemon.query_url + path, timeout=20) as response:
            answer = json.load(response)
    else:
        assert words[1] == "-d", command.line
        status, answer = daemon.query(path, words[2])
        assert status == 200, f"$ {command.line}\n{status} {answer}"
    if not command.shown:
        return 0
    expected = json.loads(command.shown)
    assert_alike(answer, expected, f"$ {command.line}\n{answer}")
    return 1


def _run_stream(words: list[str], command: Command, daemon: Daemon) -> int:
    """Read the events that a curl line would show."""
    given = dict(zip(words[:-1:2], words[1::2], strict=True))
    url = re.sub(r"^(http://)?127\.0\.0\.1:1337", daemon.query_url, words[-1])
    body = given["-d"].encode() if "-d" in given else None
    request = urllib.request.Request(url, body)
    if "-H" in given:
        request.add_header(*given["-H"].split(": "))
    with urllib.request.urlopen(request, timeout=20) as response:
        answer = response.read().decode().strip()
    assert _without_ids(answer) == _without_ids(command.shown), f"$ {command.line}\n{answer}"
    return 1


def _without_ids(events: str) -> str:
    return re.sub(r'"query_id":\d+', '"query_id":0', events)


def assert_alike(answer: Any, expected: Any, where: str) -> None:
    """Insist that an answer is the one shown, but for query ids and last digits."""
    assert type(answer) is type(expected), where
    if isinstance(expected, dict):
        assert answer.keys() == expected.keys(), where
        for key in expected.keys() - {"query_id"}:
            assert_alike(answer[key], expected[key], where)
    elif isinstance(expected, list):
        assert len(answer) == len(expected), where
        for one, other in zip(answer, expected, strict=True):
            assert_alike(one, other, where)
    elif isinstance(expected, float):
        assert answer == pytest.approx(expected, rel=1e-6), where
    else:
        assert answer == expected, where
