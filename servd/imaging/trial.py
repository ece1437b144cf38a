"""Runs a new image as it will be run, and has it answer its test call. Used by builder.py.

The container has the locks that a replica has elsewhere (read-only root, no capabilities, a limit
of processes), publishes no port, is asked from inside, and is removed whatever happens.
"""

import json
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from docker.errors import APIError
from requests.exceptions import RequestException

from model_runtime.contract import REPLICA_PORT
from servd.datatypes import InputType
from servd.errors import ImageError
from servd.imaging.dockerfile import command_of
from servd.imaging.failures import load_failure, trial_failure
from servd.imaging.spec import ImageSpec
from servd.replicas.announced import other_files
from servd.replicas.launchers.container_options import LOCKS
from servd.replicas.loading import selftest_of
from servd.schemas.tested import tested
from servd.system.docker_client import words_of

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

LABEL: Final = "io.servd.trial"
_LOG_LINES: Final = 40
_SILENT: Final = 1
_KILLED: Final = 137
_END_S: Final = 5
_EMPTY_REGISTRY: Final = '{"registry": {}, "endpoints": {}}'
_REGISTRY_FILE: Final = "/tmp/registry.json"  # noqa: S108 - in the container
# Waits for /readyz, then posts the example where there is one; prints what it was answered.
_ASK_HTTP: Final = """
import sys, time, urllib.error, urllib.request
port, wait_s, path, body = sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4]
base, end_s, said = "http://127.0.0.1:" + port, time.monotonic() + wait_s, "nothing"
while True:
    try:
        urllib.request.urlopen(base + "/readyz", timeout=5).read()
        break
    except urllib.error.HTTPError as error:
        said = error.read().decode()
    except OSError as error:
        said = str(error)
    if time.monotonic() > end_s:
        sys.exit("not ready: " + said)
    time.sleep(0.1)
if body:
    try:
        print(urllib.request.urlopen(base + path, body.encode(), timeout=30).read().decode())
    except urllib.error.HTTPError as error:
        sys.exit("%d: %s" % (error.code, error.read().decode()))
"""


class Trial:
    """One image's trial. `wait_s` is how long its model may take to load and be test-called."""

    def __init__(self, client: "docker.DockerClient", spec: ImageSpec, wait_s: float) -> None:
        self._client = client
        self._spec = spec
        self._wait_s = wait_s

    def run(self, image_id: str) -> str:
        """Run the image until it has answered; return in words what it did.

        Raises:
            ImageError: it ended, did not become ready, or its answer was an error.
        """
        container = self._client.containers.create(image_id, **self._settings())
        try:
            self._start(container)
            return self._ask_replica(container) if self._is_replica else self._ask_http(container)
        finally:
            with suppress(APIError):
                container.remove(force=True, v=True)

    @property
    def _is_replica(self) -> bool:
        return self._spec.kind == "replica"

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "labels": {LABEL: self._spec.tag},
            "environment": dict(self._spec.variables),
            **LOCKS,
        }
        if self._spec.kind == "frontend":
            write = f"echo '{_EMPTY_REGISTRY}' >{_REGISTRY_FILE} && exec \"$@\""
            # Without it a front end that is not on loopback refuses to start; probers need none.
            settings["environment"] = {"SERVD_TOKEN": secrets.token_hex()}
            settings["entrypoint"] = ["/bin/sh", "-c", write, "sh"]
            settings["command"] = [*command_of(self._spec), f"--registry={_REGISTRY_FILE}"]
        return settings

    def _start(self, container: "Container") -> None:
        try:
            container.start()
        except APIError as error:
            reason = f"it does not start: {words_of(error)}"
            raise trial_failure(self._spec.tag, reason, "") from error

    def _ask_replica(self, container: "Container") -> str:
        """Ask over the replica protocol until its load has ended one way or the other."""
        address = f"tcp://127.0.0.1:{REPLICA_PORT}"
        words = ["python3", "-m", "model_runtime.probe", address, f"--timeout={self._wait_s}"]
        code, output = self._exec(container, words)
        state, info = _reported(output)
        if state == "ready":
            self._check_content(info)
            return (
                f"replica ready in {info.get('load_ms', 0)} ms, {tested(selftest_of(info) or {})}"
            )
        if state == "failed":
            raise load_failure(self._spec.tag, info.get("error") or {})
        said = f"state {state}" if state else output.strip()[-300:]
        raise self._failure(container, code, said)

    def _check_content(self, info: dict[str, Any]) -> None:
        """Refuse an image whose files are not the version's: somebody has changed the bundle."""
        fault = other_files(self._spec.version, info) if self._spec.version else ""
        if fault:
            raise ImageError(
                f"{self._spec.tag} was built, but it {fault}",
                hint="the files of the bundle were changed after they were deployed: deploy again",
            )

    def _ask_http(self, container: "Container") -> str:
        name, value = self._query()
        body = "" if value is None else json.dumps({"input": value})
        path, port = f"/{name}/predict", str(self._spec.port)
        words = ["python3", "-c", _ASK_HTTP, port, str(self._wait_s), path, body]
        code, output = self._exec(container, words)
        if code != 0:
            raise self._failure(container, code, output.strip()[-500:])
        if not body:
            return f"ready on port {port}"
        answer = json.loads(output)
        if answer.get("default"):
            reason = answer.get("default_explanation")
            raise self._failure(container, code, f"the example got the default output: {reason}")
        return f"{path} {tested(self._test(value, answer.get('output')))}"

    def _query(self) -> tuple[str, Any]:
        """Return the application and the input of the test call; None where no input is known."""
        spec = self._spec
        if not spec.applications or spec.bundle_dir is None:
            return "", None
        return spec.applications[0].name, spec.example()

    def _test(self, value: Any, output: Any) -> dict[str, Any]:
        """Return what was answered as a replica tells its test call."""
        test = {"state": "ok", "input": value, "output": output}
        version = self._spec.version
        if version is not None and version.input_type is InputType.BYTES:
            test["input_bytes"] = len(value) * 3 // 4 - value[-2:].count("=")
        return test

    def _exec(self, container: "Container", words: list[str]) -> tuple[int, str]:
        try:
            code, output = container.exec_run(words)
        except APIError:  # it has ended already
            return _SILENT, ""
        return int(code if code is not None else _SILENT), (output or b"").decode(
            "utf-8", "replace"
        )

    def _failure(self, container: "Container", code: int, said: str) -> ImageError:
        if code == _KILLED:
            # The question ends a moment before the engine says that the container has.
            with suppress(RequestException):
                container.wait(timeout=_END_S)
        container.reload()
        state = container.attrs["State"]
        log = container.logs(tail=_LOG_LINES).decode("utf-8", "replace").rstrip()
        if state.get("OOMKilled"):
            reason = "it was killed: out of memory"
        elif not state.get("Running"):
            reason = f"it ended with status {state.get('ExitCode')}"
        else:
            reason = f"it did not answer its test call ({said or f'status {code}'})"
        return trial_failure(self._spec.tag, reason, log)


def _reported(output: str) -> tuple[str, dict[str, Any]]:
    """Return the state and the info that the probe printed, or an empty text."""
    for line in reversed(output.splitlines()):
        with suppress(ValueError):
            found = json.loads(line)
            return str(found.get("state", "")), dict(found.get("info") or {})
    return "", {}
