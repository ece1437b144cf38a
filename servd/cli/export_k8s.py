"""`servd export-k8s`: what is deployed here, as files for a Kubernetes cluster."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from servd.cli.additions import addition_options, take_additions
from servd.cli.command import verb
from servd.cli.export_options import place_of, place_options, setting_options, settings_of
from servd.cli.session import Session, pass_session
from servd.quantities import counted

if TYPE_CHECKING:
    from servd.cli.output import Output
    from servd.export.place import Place
    from servd.export.plan import Plan
    from servd.imaging.additions import Additions


@verb(
    "export-k8s",
    examples=(
        "servd export-k8s --image-registry registry.example/team --build --push --check",
        "servd export-k8s iris --standalone --single-file iris.yaml --namespace ml",
    ),
)
@click.argument("apps", metavar="[APP]...", nargs=-1)
@place_options
@setting_options
@addition_options
@click.option("--build", is_flag=True, help="Build the images first.")
@click.option("--push", is_flag=True, help="Build them and push them to the registry.")
@click.option("--check", is_flag=True, help="Check what was written, as a cluster would.")
@click.option("--force", is_flag=True, help="Overwrite what is not the export's own.")
@click.option("--renew-keys", is_flag=True, help="Make other certificates and keys for all pods.")
@pass_session
def command(session: Session, /, apps: tuple[str, ...], **flags: Any) -> None:
    """Write what is deployed here as files for a Kubernetes cluster.

    All applications, or those that are named, with their models. The daemon need not run.
    """
    from servd.cli.export_images import ExportImages  # noqa: PLC0415 - help does without
    from servd.client.registry_reader import read_registry  # noqa: PLC0415
    from servd.export.next_steps import next_steps, read_examples  # noqa: PLC0415
    from servd.export.plan import plan_export  # noqa: PLC0415
    from servd.export.secrets import export_secrets  # noqa: PLC0415

    words = ("build", "push", "check", "force", "renew_keys")
    wants = {name: flags.pop(name) for name in words}
    form, place = place_of(flags)
    flags["base_image"] = flags["base_image"] or session.config.base_image
    additions = take_additions(flags, session.config)
    flags |= _remembered(additions)
    settings = settings_of(apps, form, flags)
    _check_push(settings.image_registry or settings.image, wants)
    registry = read_registry(session.config, session.admin_url)
    images = ExportImages(session, registry, settings, additions)
    contents = images.contents()
    plan = plan_export(registry, settings, export_secrets(session.config), contents)
    place.check(settings, force=wants["force"])
    if wants["renew_keys"]:  # once it is known that the export can be written
        secrets = export_secrets(session.config, is_new=True)
        plan = plan_export(registry, settings, secrets, contents)
    if wants["build"] or wants["push"]:
        images.build(plan, session.output, push=wants["push"])
    removed = place.write(settings, plan.files)
    if wants["check"]:
        _check(plan, place)
    report = ExportReport(session.output, plan, place)
    examples = read_examples(registry, session.config.bundles_dir)
    report.write(removed, next_steps(plan, place.path, registry, examples), wants)


def _remembered(additions: "Additions") -> dict[str, Any]:
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
        raise click.UsageError(
            "--push needs --image-registry HOST[/PATH]", click.get_current_context()
        )


def _check(plan: "Plan", place: "Place") -> None:
    """Check the files as they are on the disk; of a chart the objects that its templates give.

    Raises:
        CheckFailedError: with each fault in a line.
    """
    from k8s_adapter.check import check_files  # noqa: PLC0415 - only where it is wanted
    from k8s_adapter.render import render_directory  # noqa: PLC0415
    from servd.export.errors import CheckFailedError  # noqa: PLC0415
    from servd.export.settings import Form  # noqa: PLC0415

    written = place.read().files
    if plan.settings.form is Form.HELM:
        written = render_directory(plan.objects)
    named = {name or place.path.name: text for name, text in written.items()}
    faults = check_files(named, plan.options.kube_version)
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise CheckFailedError(f"{counted(len(faults), 'fault')} in {place.path}\n{lines}")


class ExportReport:
    """Tells what was exported and what to do with it."""

    def __init__(self, output: "Output", plan: "Plan", place: "Place") -> None:
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
        from servd.export.place import holds_secret  # noqa: PLC0415 - help does without

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
