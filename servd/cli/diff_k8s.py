"""`servd diff-k8s`: what an export would change."""

from typing import TYPE_CHECKING, Any, Final

from servd.cli.command import verb
from servd.cli.export_options import place_of, place_options
from servd.cli.session import Session, pass_session

if TYPE_CHECKING:
    from servd.cli.output import Output
    from servd.export.changes import Change

DIFFERENT: Final = 1
"""The exit code where there are changes: that of diff, git diff --exit-code and kubectl diff."""

_COLORS: Final = {"+": "green", "-": "red", "@": "cyan"}


@verb(
    "diff-k8s",
    examples=("servd diff-k8s", "servd diff-k8s --helm chart --json | jq .changed"),
)
@place_options
@pass_session
def command(session: Session, /, **flags: Any) -> int:
    """Show what has changed since the last export; exits with 1 where something has.

    Compares the files of the export with what the same export would write now, with the options it
    was given then. Changes made to the files by hand show, too.
    """
    from servd.cli.export_images import ExportImages  # noqa: PLC0415 - help does without
    from servd.client.registry_reader import read_registry  # noqa: PLC0415
    from servd.export.changes import object_changes, unified_diff  # noqa: PLC0415 - help does without
    from servd.export.plan import plan_export  # noqa: PLC0415
    from servd.export.secrets import export_secrets  # noqa: PLC0415

    _, place = place_of(flags)
    record, written = place.read_export()
    registry = read_registry(session.config, session.admin_url)
    contents = ExportImages(session, registry, record.settings).contents()
    plan = plan_export(registry, record.settings, export_secrets(session.config), contents)
    changes = object_changes(written.files, plan.files)
    lines = unified_diff(written.files, plan.files, str(place.path))
    edited = [name or place.path.name for name in written.edited]
    output = session.output
    if output.is_json:
        document = {
            "changed": bool(lines),
            "changes": [{"kind": change.kind, "name": change.name} for change in changes],
            "edited": edited,
            "diff": "\n".join(lines),
        }
        output.document(document)
    else:
        _write(output, changes, lines, edited)
    return DIFFERENT if lines else 0


def _write(output: "Output", changes: "list[Change]", lines: list[str], edited: list[str]) -> None:
    for change in changes:
        output.line(f"{change.kind:<8} {change.name}")
    for name in edited:
        output.warning(f"{name} was changed by hand since the export")
    if not lines:
        output.line("no changes since the export")
        return
    output.line("")
    for line in lines:
        color = None if line.startswith(("+++", "---")) else _COLORS.get(line[:1])
        output.line(line, color)
