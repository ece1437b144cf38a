"""`servd version`."""

import platform

from servd import __version__
from servd.cli.session import Session
from servd.cli.verb import verb


@verb("version", examples=("servd version", "servd version --json"))
def command(session: Session) -> None:
    """Show the version of servd and of its Python."""
    python = platform.python_version()
    session.output.result(
        {"version": __version__, "python": python}, f"servd {__version__} (python {python})"
    )
