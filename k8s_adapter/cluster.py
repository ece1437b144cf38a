"""The cluster shape: query frontends before the replicas of every version. Used by the exports.

`cluster_objects` is the whole story; the order is that in which a single file is applied.
"""

from k8s_adapter import resources
from k8s_adapter.errors import NothingToExportError
from k8s_adapter.frontends import frontend_objects
from k8s_adapter.identity import Identity, Object
from k8s_adapter.keys import keys_in_use, token_objects
from k8s_adapter.names import object_names
from k8s_adapter.options import Options, check_options
from k8s_adapter.replicas import Seat, replica_objects, shared_objects
from k8s_adapter.snapshot import Snapshot

_SYSTEM_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})


def cluster_objects(snapshot: Snapshot, options: Options) -> list[Object]:
    """Return every object that serves a snapshot's applications on a cluster.

    Raises:
        NothingToExportError: no version has an image.
        KubeNameError: an option is a name that Kubernetes refuses.
        OptionError: an option is out of range.
    """
    check_options(options)
    if not snapshot.deployable:
        raise NothingToExportError
    names = object_names(snapshot.deployable)
    found = namespace_objects(options.namespace)
    found += _secrets(snapshot, options)
    found += shared_objects(options)
    for version in snapshot.deployable:
        seat = Seat(version=version, name=names[version.key], options=options)
        found += replica_objects(seat)
    return found + frontend_objects(snapshot, options, names)


def namespace_objects(name: str) -> list[Object]:
    """Return the Namespace to make: none where every cluster has it."""
    return [] if name in _SYSTEM_NAMESPACES else [resources.namespace(name)]


def _secrets(snapshot: Snapshot, options: Options) -> list[Object]:
    found: list[Object] = []
    for keys in keys_in_use(snapshot.deployable, options):
        identity = Identity(name=keys.secret, namespace=options.namespace)
        found.append(resources.secret(identity, keys.texts(options)))
    return found + token_objects(options)
