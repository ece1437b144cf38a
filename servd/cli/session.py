"""What one run of the CLI was told by its global options, and what follows from them.

Made by main.py, filled while click parses, used by every verb.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from servd.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from servd.client.admin import AdminClient
    from servd.config import Config


@dataclass
class Session:
    """The values of the global options. They are accepted before and after the verb."""

    is_json: bool = False
    is_quiet: bool = False
    no_color: bool = False
    data_dir: str | None = None
    admin: str | None = None

    @cached_property
    def output(self) -> Output:
        """Where the verb writes."""
        return Output(is_json=self.is_json, is_quiet=self.is_quiet, no_color=self.no_color)

    @property
    def admin_url(self) -> str | None:
        """Where the daemon was said to be, if it was."""
        return self.admin or os.environ.get("SERVD_ADMIN") or None

    @cached_property
    def config(self) -> "Config":
        """The settings of the data directory that the verb is about."""
        return self.load_config({})

    def load_config(
        self, flags: dict[str, object | None], check: "Callable[[Config], None] | None" = None
    ) -> "Config":
        """Return the settings with the verb's own flags on top; `check` as servd.config has it."""
        from servd.config import load_config  # noqa: PLC0415 - help and version do without

        return load_config({**flags, "data_dir": self.data_dir}, os.environ, Path.cwd(), check)

    def client(self, timeout_s: float = 30.0) -> "AdminClient":
        """Return a client of the daemon's admin API."""
        from servd.client.admin import find_daemon  # noqa: PLC0415 - help and version do without

        return find_daemon(self.config, self.admin_url, timeout_s)


pass_session = click.make_pass_decorator(Session, ensure=True)
"""Gives a verb its Session as first argument."""
