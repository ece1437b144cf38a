"""The command line before a verb is known: the options of all verbs, and groups that load theirs.

Used by main.py, which imports no more than this: what a client of the daemon is made of comes with
a verb (verb.py), and so only once main.py can tell what is wrong with it.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from servd.errors import did_you_mean


@dataclass
class GlobalOptions:
    """What one run of the CLI was told, before the verb or after it; filled while click parses."""

    is_json: bool = False
    is_quiet: bool = False
    no_color: bool = False
    data_dir: str | None = None
    admin: str | None = None


def _set(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is None or value is False or ctx.resilient_parsing:
        return
    setattr(ctx.ensure_object(GlobalOptions), str(parameter.name), value)


def global_options() -> list[click.Parameter]:
    """Return the options that every command takes; their values go to `GlobalOptions`."""
    common: dict[str, Any] = {"expose_value": False, "callback": _set}
    return [
        click.Option(
            ["--json", "is_json"], is_flag=True, help="Write one JSON document.", **common
        ),
        click.Option(["-q", "--quiet", "is_quiet"], is_flag=True, help="Say less.", **common),
        click.Option(["--no-color", "no_color"], is_flag=True, help="No colours.", **common),
        click.Option(
            ["--data-dir", "data_dir"],
            metavar="DIR",
            help="The daemon's folder.  [env: SERVD_DATA_DIR]",
            **common,
        ),
        click.Option(
            ["--admin", "admin"],
            metavar="URL",
            help="The admin API, if not this machine's.  [env: SERVD_ADMIN]",
            **common,
        ),
    ]


class UnknownVerbError(click.UsageError):
    """A verb that does not exist, with the one that is meant, or else the nearest."""

    def __init__(self, word: str, hint: str, ctx: click.Context) -> None:
        super().__init__(f"unknown command '{word}'", ctx=ctx)
        self.hint = hint


class LazyGroup(click.Group):
    """A group whose verbs are imported when they are run, so that each starts fast.

    `verbs` maps a name to the module (its attribute `command` is the verb) and a line of help,
    `meant` words that are no verbs to the hint for them.
    """

    meant: Mapping[str, str] = {
        **dict.fromkeys(("list", "lists", "all"), "did you mean ls?"),
        **dict.fromkeys(("delete", "remove", "del"), "did you mean rm?"),
        **dict.fromkeys(("info", "describe", "get", "inspect"), "did you mean show?"),
        **dict.fromkeys(("add", "new", "make"), "did you mean create?"),
    }

    def __init__(
        self, *args: Any, verbs: Mapping[str, tuple[str, str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(global_options())
        self.verbs = dict(verbs or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order they are declared; called by click."""
        return [*self.verbs, *(name for name in super().list_commands(ctx))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a verb; called by click."""
        if cmd_name not in self.verbs:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(self.verbs[cmd_name][0])
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that the arguments name, or raise with the nearest; called by click."""
        word, *rest = args
        if self.get_command(ctx, word) is None and not word.startswith("-"):
            if word == "help":
                return self._help(ctx, rest)
            known = self.list_commands(ctx)
            hint = self.meant.get(word, "").format(word=word)
            if hint.startswith("did you mean ") and hint[13:-1] not in known:
                hint = ""
            raise UnknownVerbError(word, hint or did_you_mean(word, known), ctx)
        return super().resolve_command(ctx, args)

    def _help(
        self, ctx: click.Context, words: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take `help VERB` for `VERB --help`, and `help` alone for `--help`."""
        if not words:
            click.echo(ctx.get_help())
            ctx.exit()
        return self.resolve_command(ctx, [*words, "--help"])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of verbs without importing them; called by click."""
        own = [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        lines = [(name, line) for name, (_, line) in self.verbs.items()] + own
        with formatter.section("Commands"):
            formatter.write_dl(lines)
        del ctx
