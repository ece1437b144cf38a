"""`servd version`."""

import platform

from servd import __version__
from servd.cli.command import verb
from servd.cli.session import Session, pass_session


@verb("version", examples=("servd version", "servd version --json"))
@pass_session
def command(session: Session) -> None:
    """Show the version of servd and of its Python."""
    python = platform.python_version()
    session.output.result(
        {"version": __version__, "python": python}, f"servd {__version__} (python {python})"
    )
