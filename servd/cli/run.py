"""`servd run`: the daemon itself, for `servd start`, systemd and containers."""

from servd.cli.settings import daemon_settings, force_option
from servd.cli.verb import verb


@verb(
    "run",
    examples=("servd run", "servd run --bind 0.0.0.0 --data-dir /var/lib/servd"),
    body="servd.cli.run_body:run",
)
@daemon_settings
@force_option
def command() -> None:
    """Run the daemon in the foreground until it is told to stop."""
