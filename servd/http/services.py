"""What the admin API's handlers work with. Made by admin.py, used by clipper.py and api.py."""

from collections.abc import Callable
from dataclasses import dataclass

from servd.bundles import BundleStore
from servd.config import Config
from servd.deploy import Deployer
from servd.figures import Figures
from servd.registry import Registry
from servd.supervisor import Supervisor


@dataclass(frozen=True)
class Services:
    """The daemon's parts.

    `shutdown` begins a stop with that many seconds to drain; None is the configured number.
    `is_ready` is what probers are told, as on the query port.
    """

    deployer: Deployer
    registry: Registry
    supervisor: Supervisor
    engine: Figures
    bundles: BundleStore
    config: Config
    shutdown: Callable[[float | None], None]
    is_ready: Callable[[], bool] = lambda: True
