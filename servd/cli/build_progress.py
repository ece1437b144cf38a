"""Tells how a build goes: lines for people, or one JSON document. Used by build_body.py."""

import json
import shlex
from typing import Any, Final

from servd.cli.output import Output
from servd.imaging.build_log import Report, Step
from servd.imaging.spec import ImageSpec

_SHOWN: Final = 60
_SHORT_ID: Final = 12
_LAYERS: Final = ("FROM", "RUN", "COPY")
"""The instructions that take time; the others only describe."""


class BuildProgress(Report):
    """Hears of each step in order and writes it."""

    def __init__(self, output: Output, spec: ImageSpec) -> None:
        self._output = output
        self._spec = spec
        self._document: dict[str, Any] = {"image": spec.tag, "kind": spec.kind}
        if spec.also:
            self._document["images"] = [spec.tag, *spec.also]
        if spec.version is not None:
            self._document |= {"model": spec.version.model, "version": spec.version.version}

    def on_packages(self, said: list[str]) -> None:
        """Keep for programs what was said of packages that no index has."""
        if said:
            self._document["warnings"] = said

    def on_begin(self, step: Step) -> None:
        """Show which step goes on."""
        self._output.working(f"{step.number}/{step.total} {step.summary[:_SHOWN]}")

    def on_step(self, step: Step) -> None:
        """Say that a step is done."""
        if step.instruction.startswith(_LAYERS):
            cached = "  (cached)" if step.is_cached else ""
            shown = f"{step.number}/{step.total} {step.summary[:_SHOWN]}"
            self._output.step("step", f"{shown}{cached}")
        if step.number == step.total:
            self._output.working("running the image and its test call")

    def on_built(self, image_id: str, *, is_cached: bool) -> None:
        """Say that there is an image."""
        self._document |= {"id": image_id, "cached": is_cached}
        known = "  (nothing had changed)" if is_cached else ""
        self._output.step("built", f"{short(image_id)}{known}")
        self._output.working("running the image and its test call")

    def on_tried(self, detail: str, duration_s: float) -> None:
        """Say that it has answered, and so what it is called."""
        self._document["tested"] = detail
        self._output.step("tested", detail, duration_s * 1000)
        for name in (self._spec.tag, *self._spec.also):
            self._output.step("tagged", name)

    def on_pushing(self, reference: str, attempt: int, error: str) -> None:
        """Show that a push goes on, and why it is another attempt."""
        if attempt > 1:
            self._output.warning(f"the push failed ({error}); attempt {attempt}")
        self._output.working(f"pushing {reference}")

    def on_pushed(self, reference: str, digest: str) -> None:
        """Say that the registry has it."""
        self._document["digest"] = digest
        self._output.step("pushed", f"{reference} {digest}".rstrip())

    def on_context(self, folder: str) -> None:
        """Say that only the context was written."""
        self._document["context"] = folder
        self._output.step("written", folder)
        if self._spec.additions.has_secrets:
            self._output.warning(f"{folder}/pip.conf holds the password of an index; images do not")
        self._output.line(f"  docker build -t {self._spec.tag} {folder}")

    def finish(self, example: Any) -> None:
        """Write the document in JSON mode, else what to do next."""
        self._output.settle()
        if self._output.is_json:
            self._output.document(self._document)
        elif self._spec.kind == "standalone" and "id" in self._document:
            port = self._spec.port
            ready = f"http://127.0.0.1:{port}/readyz"
            self._output.line(f"  docker run --rm -d -p {port}:{port} {self._spec.tag}")
            self._output.line(f"  curl -fsS --retry 60 --retry-delay 1 --retry-all-errors {ready}")
            if example is not None:  # the image has just answered it
                body = json.dumps({"input": example}, separators=(",", ":"))
                self._output.line(f"  curl -d {shlex.quote(body)} http://127.0.0.1:{port}/predict")


def short(image_id: str) -> str:
    """Return an image's id as Docker shows it."""
    return image_id.removeprefix("sha256:")[:_SHORT_ID]
