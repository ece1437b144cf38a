"""Which Kubernetes the objects are for: `--kube-version` read, and the API versions it has."""

import re
from typing import Final, NamedTuple

from k8s_adapter.errors import KubeVersionError

_TEXT = re.compile(r"v?(\d+)\.(\d+)(\.\d+)?([-+].*)?", re.ASCII)


class KubeVersion(NamedTuple):
    """A minor release of Kubernetes; patch releases do not change the API."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    @property
    def autoscaling(self) -> str:
        """The API version of a HorizontalPodAutoscaler: v2 became stable in 1.23.

        Before, it is v1, which every release has and which can say how much CPU; the v2 betas of
        then are gone from clusters of today.
        """
        return "autoscaling/v2" if self >= (1, 23) else "autoscaling/v1"

    @property
    def has_sleep_hook(self) -> bool:
        """Whether preStop can sleep without a program in the image (on by default from 1.30)."""
        return self >= (1, 30)

    @property
    def has_eviction_policy(self) -> bool:
        """Whether a PodDisruptionBudget can let pods that are not ready be evicted (1.27)."""
        return self >= (1, 27)


OLDEST: Final = KubeVersion(1, 21)
NEWEST: Final = KubeVersion(1, 37)
"""The export is validated against the schemas of both ends of this range."""
DEFAULT: Final = KubeVersion(1, 29)
"""Objects for it are good for every newer version, too."""


def parse_kube_version(text: str) -> KubeVersion:
    """Return the release that a text such as 1.29, v1.29.3 or 1.29.3-gke.100 names.

    Raises:
        KubeVersionError: it names none, or one outside of the validated range.
    """
    found = _TEXT.fullmatch(text.strip())
    hint = f"versions from {OLDEST} to {NEWEST} are known, for example --kube-version {DEFAULT}"
    if found is None:
        raise KubeVersionError(f"'{text}' is not a Kubernetes version", hint=hint)
    version = KubeVersion(int(found[1]), int(found[2]))
    if not OLDEST <= version <= NEWEST:
        raise KubeVersionError(f"Kubernetes {version} is unknown to this servd", hint=hint)
    return version
