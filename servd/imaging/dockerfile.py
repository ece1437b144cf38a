"""The Dockerfile of an image, as a pure function. Used by context.py.

Layers go from what changes least to what changes most: the base, the user, the packages, servd's
own code, the bundle. Equal specifications give equal bytes.
"""

import json
import shlex
from typing import Final

from model_runtime.contract import HEALTH_PORT, REPLICA_PORT, THREAD_VARIABLES
from model_runtime.protocol import PROTOCOL_VERSION
from servd import __version__
from servd.datatypes import ModelVersion
from servd.imaging.additions import Additions
from servd.imaging.spec import (
    APPLICATIONS,
    BUNDLE,
    FRONTEND_PORT,
    HOME,
    LIBRARY,
    REGISTRY,
    STANDALONE_PORT,
    UID,
    WHEELS,
    ImageSpec,
)

# The base image's user may be one that cannot install anything.
_USER: Final = (
    "USER 0:0\n\n"
    f"RUN echo 'servd:x:{UID}:{UID}:servd:{HOME}:/bin/false' >>/etc/passwd \\\n"
    f" && echo 'servd:x:{UID}:' >>/etc/group"
)
_LISTS: Final = f"COPY requirements.txt constraints.txt {HOME}/"
_PIP: Final = "PIP_ROOT_USER_ACTION=ignore PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip"
_PIP_OPTIONS: Final = (
    "    --no-cache-dir --disable-pip-version-check --no-input --progress-bar off \\\n"
    f"    -r {HOME}/requirements.txt -c {HOME}/constraints.txt"
)
_FETCHED: Final = f"{HOME}/packages"
_CODE: Final = f"COPY lib {LIBRARY}\nRUN python3 -m compileall -q {LIBRARY}"
# Isolated and without site-packages: it runs every few seconds for as long as the container does.
_HEALTH: Final = (
    "import http.client as h; c = h.HTTPConnection('127.0.0.1', {port}, timeout=4); "
    "c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"
)

MARK: Final = "# Written by servd build."
"""The first line, by which a folder is known to hold a context of servd's."""

IGNORED: Final = "lib/**/__pycache__\nDockerfile\n.dockerignore\n"
"""The content of .dockerignore. Nothing of the bundle: its content has a digest."""


PIP_CONF: Final = "pip.conf"
"""The file of a context that holds the indexes, where these have passwords."""


def dockerfile(spec: ImageSpec, python: str = "", *, has_wheels: bool = False) -> str:
    """Return the Dockerfile of an image; `python` is what the bundle was made with.

    Packages of an index with a password are fetched in a stage of their own: neither a layer nor
    the history of the image has the password then.
    """
    copies = f"{_LISTS}\nCOPY wheels {WHEELS}\n" if has_wheels else f"{_LISTS}\n"
    parts = [
        f"{MARK}\nFROM {spec.base_image}" + (" AS prepared" if _has_stages(spec) else ""),
        _environment(spec),
        _USER,
        *_system_packages(spec),
        *(_fetching(copies) if _has_stages(spec) else ()),
        copies + _installing(spec),
        _CODE,
        *_content(spec),
        _labels(spec, python),
        f"USER {UID}:{UID}",
        "WORKDIR /tmp",
        f"EXPOSE {spec.port}",
        f"STOPSIGNAL SIGTERM\n{_healthcheck(spec)}",
        f"ENTRYPOINT {json.dumps(command_of(spec))}",
    ]
    return "\n\n".join(parts) + "\n"


def pip_conf(additions: Additions) -> str:
    """Return pip's settings with the indexes, passwords included."""
    urls = "".join(f"\n    {url.replace('%', '%%')}" for url in additions.extra_index)
    hosts = "".join(f"\n    {host}" for host in additions.plain_hosts)
    trusted = f"trusted-host ={hosts}\n" if hosts else ""
    return f"[global]\nextra-index-url ={urls}\n{trusted}"


def _has_stages(spec: ImageSpec) -> bool:
    return spec.additions.has_secrets


def _system_packages(spec: ImageSpec) -> list[str]:
    if not spec.additions.apt or spec.kind == "frontend":
        return []
    names = " ".join(shlex.quote(name) for name in sorted(spec.additions.apt))
    install = "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends"
    lines = ["RUN apt-get update", f" && {install}", f"    {names}"]
    return [" \\\n".join([*lines, " && rm -rf /var/lib/apt/lists/*"])]


def _fetching(copies: str) -> list[str]:
    """Return the stage that asks indexes with their passwords, and how the next one begins."""
    fetching = (
        f"{copies}COPY {PIP_CONF} {HOME}/{PIP_CONF}\n"
        f"RUN PIP_CONFIG_FILE={HOME}/{PIP_CONF} {_PIP} wheel --wheel-dir {_FETCHED} \\\n"
        f"{_PIP_OPTIONS}"
    )
    taking = f"FROM prepared\n\nCOPY --from=fetched {_FETCHED} {_FETCHED}"
    return ["FROM prepared AS fetched", fetching, taking]


def _installing(spec: ImageSpec) -> str:
    if _has_stages(spec):
        where = [f"--no-index --find-links {_FETCHED}"]
    else:
        where = [f"--extra-index-url {shlex.quote(url)}" for url in spec.additions.extra_index]
        where += [f"--trusted-host {shlex.quote(host)}" for host in spec.additions.plain_hosts]
    return f"RUN {_PIP} install \\\n" + "".join(f"    {w} \\\n" for w in where) + _PIP_OPTIONS


def command_of(spec: ImageSpec) -> list[str]:
    """Return what the image runs; the words of `docker run IMAGE WORDS` are added to it."""
    if spec.kind == "frontend":
        options = [f"--registry={REGISTRY}", "--bind=0.0.0.0", f"--port={FRONTEND_PORT}"]
        return ["python3", "-m", "servd", "frontend", *options]
    if spec.kind == "standalone":
        options = [f"--bundle={BUNDLE}", f"--applications={APPLICATIONS}", "--bind=0.0.0.0"]
        return ["python3", "-m", "servd", "serve-one", *options, f"--port={STANDALONE_PORT}"]
    options = [f"--listen=tcp://0.0.0.0:{REPLICA_PORT}", f"--health=0.0.0.0:{HEALTH_PORT}"]
    options.append(f"--bundle={BUNDLE}")
    return ["python3", "-m", "model_runtime", *options]


def labels_of(spec: ImageSpec, python: str = "") -> dict[str, str]:
    """Return the labels of an image."""
    version = spec.version
    name = f"{version.model} {version.version}" if version else "servd front end"
    labels = {
        "io.servd.kind": spec.kind,
        "io.servd.protocol": str(PROTOCOL_VERSION),
        "io.servd.servd": __version__,
        "org.opencontainers.image.base.name": spec.base_image,
        "org.opencontainers.image.title": name,
        "org.opencontainers.image.description": _DESCRIPTIONS[spec.kind],
        "org.opencontainers.image.version": version.version if version else __version__,
    }
    if version is not None:
        labels |= {
            "io.servd.model": version.model,
            "io.servd.version": version.version,
            "io.servd.input-type": version.input_type.value,
            "io.servd.bundle": version.bundle or "",
        }
    if python:
        labels["io.servd.python"] = python
    return dict(sorted(labels.items()))


_DESCRIPTIONS: Final = {
    "replica": "A replica of a model, for servd front ends",
    "standalone": "A model that answers HTTP queries on one port",
    "frontend": "A servd front end, which passes queries to replicas",
}


def _environment(spec: ImageSpec) -> str:
    # HOME is where libraries put their caches: the root file system may be read-only.
    values = {"HOME": "/tmp", "PYTHONPATH": LIBRARY, "PYTHONUNBUFFERED": "1"}  # noqa: S108
    values |= dict.fromkeys(sorted(THREAD_VARIABLES), str(spec.threads))
    lines = [f"{name}={value}" for name, value in sorted(values.items())]
    return "ENV " + " \\\n    ".join(lines)


def _content(spec: ImageSpec) -> list[str]:
    lines = []
    if spec.kind == "standalone":
        lines.append(f"COPY applications.json {APPLICATIONS}")
    if spec.kind != "frontend":
        lines.append(f"COPY bundle {BUNDLE}")
    if spec.kind == "replica" and spec.version is not None:
        lines.append(_deployment(spec.version))
    return lines


def _deployment(version: ModelVersion) -> str:
    # Variables and not arguments: who runs the image under another name has to say so only.
    values = {
        "SERVD_MAX_BATCH": str(version.max_batch),
        "SERVD_MODEL_NAME": version.model,
        "SERVD_MODEL_VERSION": version.version,
    }
    lines = [f"{name}={_quoted(value)}" for name, value in values.items()]
    return "ENV " + " \\\n    ".join(lines)


def _labels(spec: ImageSpec, python: str) -> str:
    lines = [f"{name}={_quoted(value)}" for name, value in labels_of(spec, python).items()]
    return "LABEL " + " \\\n      ".join(lines)


def _quoted(value: str) -> str:
    # In a Dockerfile a dollar begins a variable, also between double quotes.
    return json.dumps(value, ensure_ascii=False).replace("$", "\\$")


def _healthcheck(spec: ImageSpec) -> str:
    port = HEALTH_PORT if spec.kind == "replica" else spec.port
    command = json.dumps(["python3", "-IS", "-c", _HEALTH.format(port=port)])
    times = "--interval=5s --timeout=5s --start-period=120s --retries=3"
    return f"HEALTHCHECK {times} \\\n    CMD {command}"
