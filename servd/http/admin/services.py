"""What the admin API's handlers work with. Made by admin.py, used by clipper.py and api.py."""

from collections.abc import Callable
from dataclasses import dataclass

from servd.config import Config
from servd.deploying.bundles import BundleStore
from servd.deploying.deployer import Deployer
from servd.metrics.source import MetricsSource
from servd.registry.registry import Registry
from servd.replicas.supervisor import Supervisor


@dataclass(frozen=True)
class Services:
    """The daemon's parts.

    `shutdown` begins a stop with that many seconds to drain; None is the configured number.
    `is_ready` is what probers are told, as on the query port.
    """

    deployer: Deployer
    registry: Registry
    supervisor: Supervisor
    engine: MetricsSource
    bundles: BundleStore
    config: Config
    shutdown: Callable[[float | None], None]
    is_ready: Callable[[], bool] = lambda: True
