"""The manager whose replicas are processes of this machine: no Docker is needed for it."""

from servd.clipper.clusters import Ports
from servd.clipper.daemon_manager import DaemonContainerManager


class LocalContainerManager(DaemonContainerManager):
    """A cluster of processes: a servd daemon of this machine and replicas that it starts.

    Args:
        cluster_name: several clusters run side by side. The one that the command line means is
            taken by the first name that is started.
        clipper_query_port: where queries are answered; another free port where it is taken.
        clipper_management_port: the same of the management API.
    """

    logger_name = "servd.clipper.local_container_manager"

    def __init__(
        self,
        cluster_name: str = "default-cluster",
        *,
        clipper_query_port: int = 1337,
        clipper_management_port: int = 1338,
    ) -> None:
        ports = Ports(clipper_query_port, clipper_management_port)
        super().__init__(cluster_name, ports=ports)
