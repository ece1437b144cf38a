"""What `servd export-k8s` does. Loaded when it is run: what makes exports comes along."""

from collections.abc import Mapping
from typing import Any

import click

from k8s_adapter.check import check_files
from k8s_adapter.render import render_directory
from servd.cli.additions import take_additions
from servd.cli.export_flags import place_of, settings_of
from servd.cli.export_images import ExportImages
from servd.cli.output import Output
from servd.cli.session import Session
from servd.client.registry_reader import read_all
from servd.export.errors import CheckFailedError
from servd.export.next_steps import next_steps, read_examples
from servd.export.place import Place, holds_secret
from servd.export.plan import Plan, plan_export
from servd.export.schemas import Schemas
from servd.export.secrets import export_secrets
from servd.export.settings import Form
from servd.imaging.additions import Additions
from servd.quantities import counted


def export(session: Session, /, apps: tuple[str, ...], **flags: Any) -> None:
    """Write the export, with what else the flags want."""
    words = ("build", "push", "check", "force", "renew_keys")
    wants = {name: flags.pop(name) for name in words}
    form, place = place_of(flags)
    flags["base_image"] = flags["base_image"] or session.config.base_image
    additions = take_additions(flags, session.config)
    flags |= _remembered(additions)
    settings = settings_of(apps, form, flags)
    _check_push(settings.image_registry or settings.image, wants)
    registry = read_all(session.config, session.admin_url)
    images = ExportImages(session, registry, settings, additions)
    contents = images.contents()
    plan = plan_export(registry, settings, export_secrets(session.config, registry), contents)
    place.check(settings, force=wants["force"])
    # Before anything is built or written: what reads them is an extra.
    schemas = Schemas(plan.options.kube_version) if wants["check"] else None
    if wants["renew_keys"]:  # once it is known that the export can be written
        secrets = export_secrets(session.config, registry, is_new=True)
        plan = plan_export(registry, settings, secrets, contents)
    if wants["build"] or wants["push"]:
        images.build(plan, session.output, push=wants["push"])
    removed = place.write(settings, plan.files)
    if schemas:
        _check(plan, place, schemas)
    report = ExportReport(session.output, plan, place)
    examples = read_examples(registry, session.config.bundles_dir)
    report.write(removed, next_steps(plan, place.path, registry, examples), wants)


def _remembered(additions: Additions) -> dict[str, Any]:
    """Return what an export remembers of the packages that its images get: no passwords."""
    kept = additions.without_secrets()
    given = {
        "requirements": str(kept.requirements.absolute()) if kept.requirements else None,
        "extra_index": kept.extra_index,
        "wheel": tuple(str(path.absolute()) for path in kept.wheel),
        "apt": kept.apt,
    }
    return {name: value for name, value in given.items() if value}


def _check_push(registry: str | None, wants: Mapping[str, bool]) -> None:
    if wants["push"] and registry is None:
        raise click.UsageError("--push needs --image-registry HOST[/PATH]")


def _check(plan: Plan, place: Place, schemas: Schemas) -> None:
    """Check the files as they are on the disk; of a chart the objects that its templates give.

    Raises:
        CheckFailedError: with each fault in a line.
    """
    written = place.read().files
    if plan.settings.form is Form.HELM:
        written = render_directory(plan.objects)
    named = {name or place.path.name: text for name, text in written.items()}
    faults = check_files(named, schemas)
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise CheckFailedError(f"{counted(len(faults), 'fault')} in {place.path}\n{lines}")


class ExportReport:
    """Tells what was exported and what to do with it."""

    def __init__(self, output: Output, plan: Plan, place: Place) -> None:
        self._output = output
        self._plan = plan
        self._place = place

    def write(self, removed: list[str], steps: list[str], wants: Mapping[str, bool]) -> None:
        """Write it as lines, or as one JSON document; `steps` are the commands that come next."""
        plan = self._plan
        warnings = [*plan.warnings, *self._remarks()]
        if self._output.is_json:
            self._output.document(
                {
                    "path": str(self._place.path),
                    "shape": plan.settings.shape,
                    "form": plan.settings.form,
                    "files": [name for name in plan.files if name],
                    "removed": removed,
                    "objects": len(plan.objects),
                    "images": list(plan.images),
                    "checked": wants["check"],
                    "warnings": warnings,
                    "next": steps,
                }
            )
            return
        self._lines(removed, steps, wants)
        for text in warnings:
            self._output.warning(text)

    def _lines(self, removed: list[str], steps: list[str], wants: Mapping[str, bool]) -> None:
        plan, output = self._plan, self._output
        output.step("wrote", f"{self._place.path} ({counted(len(plan.objects), 'object')})")
        for name in removed:
            output.step("removed", f"{self._place.path / name}")
        if wants["check"]:
            output.step("checked", "no faults")
        if not (wants["build"] or wants["push"]):
            output.line("images it needs (--build makes them, --push uploads them):")
            for reference in plan.images:
                output.line(f"  {reference}")
        output.line("next:")
        for step in steps:
            output.line(f"  {step}")

    def _remarks(self) -> list[str]:
        """Return what the user should know about images and secrets."""
        plan = self._plan
        found = []
        if not (plan.settings.image_registry or plan.settings.image):
            found.append(
                "the images have no registry: each node must have them, "
                "or give --image-registry HOST[/PATH]"
            )
        secret = [name for name, text in plan.files.items() if holds_secret(text)]
        if secret:
            where = ", ".join(str(self._place.path / name) for name in secret)
            verb, them = ("holds", "it") if len(secret) == 1 else ("hold", "them")
            found.append(f"{where} {verb} keys: do not put {them} under version control")
        return found
