"""`servd run`: the daemon itself, for `servd start`, systemd and containers."""

import asyncio
import json
import os
from typing import Any

from servd.cli.command import verb
from servd.cli.session import Session, pass_session
from servd.cli.settings import daemon_settings, force_option
from servd.errors import ServdError


@verb("run", examples=("servd run", "servd run --bind 0.0.0.0 --data-dir /var/lib/servd"))
@daemon_settings
@force_option
@pass_session
def command(session: Session, /, *, is_forced: bool, **flags: Any) -> None:
    """Run the daemon in the foreground until it is told to stop."""
    try:
        config = session.load_config(flags)
    except ServdError as error:
        _tell_starter(error)
        raise
    import uvloop  # noqa: PLC0415 - wanted by this verb only

    from servd.processes.daemon import serve  # noqa: PLC0415 - everything that serves hangs on it
    from servd.system.offspring import offspring  # noqa: PLC0415 - as above

    offspring.take_in()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(config, is_forced=is_forced))


def _tell_starter(error: ServdError) -> None:
    """Say to the `servd start` that waits, if one does, why there is no daemon."""
    ready = os.environ.get("SERVD_READY_FD")
    if ready:
        with os.fdopen(int(ready), "w") as pipe:
            json.dump({"error": error.message, "hint": error.hint}, pipe)
