"""What each verb is made of: its options here, its body there."""

import ast
import importlib
import inspect
from pathlib import Path

import click
import pytest

from servd import cli as package
from servd.cli.main import cli
from servd.cli.verb import Verb

FILES = sorted(Path(package.__file__).parent.glob("*.py"))
SPECIAL = {"docker", "rich", "servd.imaging.builder"}
"""What is no part of every installation, or is wanted on a terminal alone."""


def verbs():
    """Yield every verb by the words that call it."""
    with click.Context(cli) as ctx:
        for word in cli.list_commands(ctx):
            command = cli.get_command(ctx, word)
            names = command.list_commands(ctx) if isinstance(command, click.Group) else ()
            for name in names:
                yield f"{word} {name}", command.get_command(ctx, name)
            if not names:
                yield word, command


VERBS = dict(verbs())


@pytest.mark.parametrize("words", VERBS)
def test_a_verb_has_a_body_that_takes_its_options(words):
    """Where the body is elsewhere, nothing else would tell that one of both has changed."""
    verb = VERBS[words]
    assert isinstance(verb, Verb)
    assert len(verb.examples) == 2
    module, _, name = verb.body.partition(":")
    body = getattr(importlib.import_module(module), name) if module else verb.callback
    given = {option.name: None for option in verb.params if option.expose_value}
    inspect.signature(body).bind(None, **given)
    kinds = {each.kind for each in inspect.signature(body).parameters.values()}
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        assert len(inspect.signature(body).parameters) == 1 + len(given)


@pytest.mark.parametrize(
    "file", sorted(Path(package.__file__).parent.glob("*.py")), ids=lambda f: f.stem
)
def test_what_a_verb_imports_is_at_the_top_of_its_file(file):
    """What takes long to import is behind a verb's body, and in no function."""
    functions = [
        node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    inside = [
        name
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (getattr(node, "module", None) or node.names[0].name,)
    ]
    assert [name for name in inside if not SPECIAL & {name, name.partition(".")[0]}] == []
