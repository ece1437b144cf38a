"""What follows from the global options of one run of the CLI; every verb gets one (verb.py)."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from servd.cli.command import GlobalOptions
from servd.cli.output import Output
from servd.client.admin import AdminClient, find_daemon
from servd.config import Config, load_config


@dataclass
class Session(GlobalOptions):
    """Where the verb writes, and the daemon that it is about."""

    @cached_property
    def output(self) -> Output:
        """Where the verb writes."""
        return Output(is_json=self.is_json, is_quiet=self.is_quiet, no_color=self.no_color)

    @property
    def admin_url(self) -> str | None:
        """Where the daemon was said to be, if it was."""
        return self.admin or os.environ.get("SERVD_ADMIN") or None

    @cached_property
    def config(self) -> Config:
        """The settings of the data directory that the verb is about."""
        return self.load_config({})

    def load_config(
        self, flags: dict[str, object | None], check: Callable[[Config], None] | None = None
    ) -> Config:
        """Return the settings with the verb's own flags on top; `check` as servd.config has it."""
        return load_config({**flags, "data_dir": self.data_dir}, os.environ, Path.cwd(), check)

    def client(self, timeout_s: float = 30.0) -> AdminClient:
        """Return a client of the daemon's admin API."""
        return find_daemon(self.config, self.admin_url, timeout_s)
