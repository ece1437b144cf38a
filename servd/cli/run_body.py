"""What `servd run` does. Loaded when it is run: the whole daemon comes along."""

import json
import os
from typing import Any

from servd.cli.session import Session
from servd.errors import ServdError
from servd.processes import lifecycle
from servd.processes.daemon import serve


def run(session: Session, /, *, is_forced: bool, **flags: Any) -> None:
    """Run the daemon until it is told to stop."""
    try:
        config = session.load_config(flags)
    except ServdError as error:
        _tell_starter(error)
        raise
    lifecycle.run(serve(config, is_forced=is_forced))


def _tell_starter(error: ServdError) -> None:
    """Say to the `servd start` that waits, if one does, why there is no daemon."""
    ready = os.environ.get("SERVD_READY_FD")
    if ready:
        with os.fdopen(int(ready), "w") as pipe:
            json.dump({"error": error.message, "hint": error.hint}, pipe)
