"""What `servd frontend` does. Loaded when it is run: all that serves comes along."""

import os
from pathlib import Path
from typing import Any, Final

from servd.cli.session import Session
from servd.config import Config, is_loopback
from servd.errors import ConfigError
from servd.processes import cluster_frontend, lifecycle

_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - it answers other machines: that is what it is for


def serve(
    session: Session,
    /,
    registry: Path,
    curve: Path | None,
    tls: Path | None,
    drain_delay_s: float,
    **flags: Any,
) -> None:
    """Answer queries until told to end."""
    flags["bind"] = flags["bind"] or os.environ.get("SERVD_BIND") or _EVERYWHERE
    config = session.load_config(flags, _check)
    settings = cluster_frontend.ClusterFrontendSettings(
        registry=registry, curve=curve, tls=tls, drain_delay_s=drain_delay_s
    )
    lifecycle.run(cluster_frontend.serve(config, settings))


def _check(config: Config) -> None:
    """Refuse to be reachable from other machines by accident."""
    if config.token is None and not config.public_queries and not is_loopback(config.bind):
        raise ConfigError(
            f"--bind {config.bind} is reachable from other machines and no token is set",
            hint="set SERVD_TOKEN, which queries must carry, or let all in: --public-queries",
        )
