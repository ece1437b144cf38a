"""What a version's container is told in its environment: threads, device, its deployer's variables.

Values of variables are in a Secret of the version's own. Used by what puts a shape together.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Final

from k8s_adapter import resources
from k8s_adapter.identity import Identity, Object
from k8s_adapter.options import Options
from k8s_adapter.snapshot import Version

CHECKSUM: Final = "servd.io/variables-checksum"
THREAD_VARIABLES: Final = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
)
ALL_THREAD_VARIABLES: Final = (
    *THREAD_VARIABLES,
    *("BLIS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
)
_SUFFIX: Final = "-variables"


def secret_name(name: str) -> str:
    """Return the name of the Secret with the variables of a version whose objects have a name."""
    return f"{name}{_SUFFIX}"


def owner_of(name: str) -> str:
    """Return the name of the objects whose variables are in a Secret; "" of another Secret."""
    return name.removesuffix(_SUFFIX) if name.endswith(_SUFFIX) else ""


def variables_of(version: Version, options: Options) -> Mapping[str, str]:
    """Return a version's variables with their values."""
    return options.variables.get(version.key, {})


def variable_objects(name: str, version: Version, options: Options) -> list[Object]:
    """Return the Secret with a version's variables; nothing where it has none."""
    values = variables_of(version, options)
    if not values:
        return []
    identity = Identity(name=secret_name(name), namespace=options.namespace)
    return [resources.secret(identity, values)]


def variables_annotation(version: Version, options: Options) -> dict[str, str]:
    """Return what makes pods be replaced that have read other values."""
    values = variables_of(version, options)
    return {CHECKSUM: checksum(values)} if values else {}


def checksum(values: Mapping[str, str]) -> str:
    """Return the digest of some values, as a chart works it out: sha256sum of Helm's toJson."""
    text = json.dumps(dict(values), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return hashlib.sha256(text.encode()).hexdigest()


def threads_of(version: Version) -> int:
    """Return how many threads numeric libraries take: as asked for, else as many as processors."""
    return version.threads or max(1, math.ceil(version.cpus or 1))


def environment(
    name: str, version: Version, options: Options, *, own: list[Object]
) -> list[Object]:
    """Return a container's environment: `own`, and what its version says.

    `name` is that of the version's objects. A variable of its deployer's stands for servd's own.
    """
    values = variables_of(version, options)
    found = [each for each in own if each["name"] not in values]
    found += [{"name": key, "value": value} for key, value in _of_device(version).items()]
    reference = secret_name(name)
    found += [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": reference, "key": key}}}
        for key in values
    ]
    return found


def thread_variables(version: Version) -> list[Object]:
    """Return what numeric libraries are told."""
    names = THREAD_VARIABLES if version.threads is None else ALL_THREAD_VARIABLES
    threads = str(threads_of(version))
    return [{"name": name, "value": threads} for name in names]


def gpu_count(version: Version) -> int:
    """Return how many whole GPUs a replica of a version gets.

    One for a CUDA device, whichever a node gives it. Of `--gpus` 2, all, device=0,1 as many as it
    names; a cluster has no "all": that is one.
    """
    gpus = version.gpus
    if version.device is not None:
        return int(version.device.startswith("cuda"))
    if not gpus or gpus in ("0", "none"):
        return 0
    if gpus.isdecimal():
        return int(gpus)
    return len(gpus.removeprefix("device=").split(",")) if gpus.startswith("device=") else 1


def _of_device(version: Version) -> dict[str, str]:
    if version.device is None:
        return {}
    if gpu_count(version):
        return {"SERVD_DEVICE": "cuda"}
    # A node may show its devices to whoever does not say that it wants none.
    return {"SERVD_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void"}
