"""Builds an image, tries it, pushes it. Used by cli/build_body.py and by exports.

All methods block; nothing here runs in the daemon.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from docker.errors import APIError
from docker.utils import parse_repository_tag

from servd.errors import ImageError
from servd.imaging.build_log import BuildLog, Report
from servd.imaging.context import tar_of, write_context
from servd.imaging.failures import (
    build_failure,
    is_worth_retrying,
    push_failure,
    wrong_platform,
)
from servd.imaging.spec import ImageSpec
from servd.imaging.trial import Trial
from servd.system.docker_client import engine_errors, words_of
from servd.system.temporary import temporary_folder

if TYPE_CHECKING:
    import docker

PUSH_ATTEMPTS: Final = 4
FIRST_DELAY_S: Final = 0.5
RETRY_FOR_S: Final = 30.0
"""No further attempt after that: engines try some errors again themselves, for a minute."""


BUILD_ATTEMPTS = 3
LOST_PARENT = "unknown parent image ID"
"""The engine's words when somebody removes a layer that a build has just found in its cache."""


class Builder:
    """Builds with an engine's client. `trial_s` is how long a new image has to become ready."""

    def __init__(
        self,
        client: "docker.DockerClient",
        *,
        trial_s: float = 150.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._trial_s = trial_s
        self._sleep = sleep

    def build(self, spec: ImageSpec, report: Report | None = None) -> str:
        """Build an image, run it, and return its id once it has answered; then it has its tag.

        Raises:
            ImageError: it cannot be built, or does not answer.
            EngineError: the engine went away.
            ServdError: there is nothing to build it from.
        """
        report = report or Report()
        with temporary_folder("image") as temporary:
            folder = temporary / "context"
            write_context(spec, folder)
            image_id, is_cached = self._build(spec, folder, temporary / "context.tar", report)
        report.on_built(image_id, is_cached=is_cached)
        began_s = time.monotonic()
        with engine_errors(ImageError):
            detail = Trial(self._client, spec, self._trial_s).run(image_id)
            # Only now: what carries the name is what has answered.
            for name in (spec.tag, *spec.also):
                self._client.api.tag(image_id, *parse_repository_tag(name))
        report.on_tried(detail, time.monotonic() - began_s)
        return image_id

    def push(self, reference: str, report: Report | None = None) -> str:
        """Push a tagged image; return the digest that the registry gave it.

        What may be passing (the network, an overloaded registry) is tried again.

        Raises:
            ImageError: the registry refuses it, in its own words.
            EngineError: the engine went away.
        """
        report = report or Report()
        repository, tag = parse_repository_tag(reference)
        error = ""
        end_s = time.monotonic() + RETRY_FOR_S
        for attempt in range(PUSH_ATTEMPTS):
            report.on_pushing(reference, attempt + 1, error)
            with engine_errors(ImageError):
                error, digest = self._push_once(repository, tag)
            if not error:
                return digest
            is_last = attempt + 1 == PUSH_ATTEMPTS or time.monotonic() > end_s
            if is_last or not is_worth_retrying(error):
                break
            self._sleep(FIRST_DELAY_S * 2**attempt)
        raise push_failure(reference, error)

    def _build(self, spec: ImageSpec, folder: Path, tar: Path, report: Report) -> tuple[str, bool]:
        with tar.open("wb") as file:
            tar_of(folder, file)
        for _ in range(BUILD_ATTEMPTS):
            log = self._run(spec, tar, report)
            if LOST_PARENT not in log.error:
                break
        last = log.steps[-1] if log.steps else None
        if log.error or not log.image_id:
            raise build_failure(
                log.error or "the engine ended the build without an image",
                spec.base_image,
                last.summary if last else "",
                last.output if last else (),
            )
        if last is not None:
            report.on_step(last)
        self._check_platform(spec, log.image_id)
        return log.image_id, log.is_cached

    def _run(self, spec: ImageSpec, tar: Path, report: Report) -> BuildLog:
        log = BuildLog()
        try:
            with tar.open("rb") as file, engine_errors(ImageError):
                for message in self._start(spec, file):
                    _tell(report, log, message)
        except ImageError as error:
            log.error = error.message
        return log

    def _check_platform(self, spec: ImageSpec, image_id: str) -> None:
        """Refuse an image of another machine: engines take the base image that they have."""
        if spec.platform is None:
            return
        with engine_errors(ImageError):
            attributes = self._client.api.inspect_image(image_id)
        found = f"{attributes.get('Os')}/{attributes.get('Architecture')}"
        if not spec.platform.startswith(found):
            raise wrong_platform(spec.platform, found, spec.base_image)

    def _start(self, spec: ImageSpec, tar: Any) -> Iterator[dict[str, Any]]:
        stream: Iterator[dict[str, Any]] = self._client.api.build(
            fileobj=tar,
            custom_context=True,
            platform=spec.platform,
            decode=True,
            rm=True,
            forcerm=True,
        )
        return stream

    def _push_once(self, repository: str, tag: str) -> tuple[str, str]:
        """Return the error of one attempt, or else an empty text and the digest."""
        digest = ""
        try:
            for message in self._client.api.push(repository, tag, stream=True, decode=True):
                if "error" in message:
                    return str(message["error"]).strip(), ""
                digest = str((message.get("aux") or {}).get("Digest") or digest)
        except APIError as error:
            return words_of(error), ""
        return "", digest


def _tell(report: Report, log: BuildLog, message: dict[str, Any]) -> None:
    count = len(log.steps)
    finished = log.feed(message)
    if finished is not None:
        report.on_step(finished)
    if len(log.steps) > count:
        report.on_begin(log.steps[-1])
