"""Runs the ```console blocks of a Markdown page against a daemon, as a reader would.

A line that begins with `$ ` is a command; the lines below it are what it prints. Answers of curl
are compared as JSON, or as the events that they are (query ids aside, the last digits of numbers
too: processors differ); python prints at least the lines that are shown; of other commands only the
exit code counts, as times and process ids differ.
"""

import json
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
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
    where = f"$ {command.line}\n{done.stdout}{done.stderr}"
    assert done.returncode == 0, where
    if words[0] == "python":
        printed = done.stdout.replace(f":{daemon.query_port}", ":1337").splitlines()
        assert [line for line in command.shown.splitlines() if line not in printed] == [], where


@dataclass
class Curl:
    """What a curl line sends; a machine that runs the tests need not have curl."""

    url: str = ""
    method: str | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, words: list[str]) -> "Curl":
        """Return what the words behind `curl` say.

        Raises:
            AssertionError: a page has an option that none has had before.
        """
        found, rest = cls(), iter(words)
        for word in rest:
            if word in ("-X", "--request"):
                found.method = next(rest)
            elif word in ("-H", "--header"):
                name, _, value = next(rest).partition(":")
                found.headers[name] = value.strip()
            elif word in ("-d", "--data"):
                found.body = next(rest).encode()
            elif word == "--data-urlencode":
                name, _, value = next(rest).partition("=")
                found.body = urllib.parse.urlencode({name: value}).encode()
            else:
                assert word in _SILENT or not word.startswith("-"), f"curl {word}"
                found.url = found.url if word in _SILENT else word
        return found

    def send(self, daemon: Daemon, command: Command) -> str:
        """Ask where the page says that 1337 is; return what is answered, errors too."""
        path = re.sub(r"^(http://)?(127\.0\.0\.1|localhost):1337", "", self.url)
        request = urllib.request.Request(daemon.query_url + path, self.body, self.headers)
        request.method = self.method or request.get_method()
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                answer: str = response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                answer = error.read().decode()
            if not command.shown:
                pytest.fail(f"$ {command.line}\n{error.code} {answer}")
        return answer


_SILENT = ("-g", "-s", "-N")


def _run_curl(words: list[str], command: Command, daemon: Daemon) -> int:
    """Send what the curl line would send, and compare what is answered with what is shown."""
    answer = Curl.of(words[1:]).send(daemon, command)
    if not command.shown:
        return 0
    if command.shown.startswith(("data:", "event:")):
        assert _without_ids(answer.strip()) == _without_ids(command.shown), f"{command}\n{answer}"
    else:
        shown, where = json.loads(command.shown), f"$ {command.line}\n{answer}"
        assert_alike(json.loads(answer), shown, where)
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
