"""A verb: its options, and the body that is run. Used by every verb's file."""

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from servd.cli.command import GlobalOptions, LazyGroup, global_options
from servd.cli.session import Session

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_NEGATIVE: Final = re.compile(r"-\.?\d")


class Verb(click.Command):
    """A verb: takes the global options too, gets a Session, and its help ends with examples.

    `body` says, as "module:function", what is run in place of the function that has the options. It
    is imported then: what serves or builds takes longer to import than its help may take.
    """

    def __init__(
        self, *args: Any, examples: Sequence[str] = (), body: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(global_options())
        self.examples = tuple(examples)
        self.body = body

    def invoke(self, ctx: click.Context) -> Any:
        """Run the body, with the Session first; called by click."""
        session = Session(**vars(ctx.ensure_object(GlobalOptions)))
        run = self.callback
        if self.body:
            module, _, name = self.body.partition(":")
            run = getattr(importlib.import_module(module), name)
        return ctx.invoke(run, session, **ctx.params)  # type: ignore[arg-type]  # there is one

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take a negative number for a value, not for an option; called by click."""
        if any(_NEGATIVE.match(word) for word in args):
            ctx.ignore_unknown_options = True
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples; called by click at the end of the help."""
        del ctx
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


class VerbGroup(LazyGroup):
    """A group of verbs that are declared in its own file."""

    command_class = Verb


def verb(
    name: str, *, examples: Sequence[str], body: str = ""
) -> Callable[[Callable[..., Any]], click.Command]:
    """Return the decorator that makes a function a verb."""
    return click.command(name, cls=Verb, examples=examples, body=body)


def option(flag: str, metavar: str, text: str, *, name: str = "", **more: Any) -> Decorator:
    """Return the decorator for an option with a value, in one line; click has the name else."""
    return click.option(flag, *filter(None, [name]), metavar=metavar, help=text, **more)


def together(
    *options: Decorator,
) -> Decorator:
    """Return the one decorator for options that belong together, in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for each in reversed(options):
            function = each(function)
        return function

    return decorate
