"""What `servd diff-k8s` does. Loaded when it is run: what makes exports comes along."""

from typing import Any, Final

from servd.cli.export_flags import place_of
from servd.cli.export_images import ExportImages
from servd.cli.output import Output
from servd.cli.session import Session
from servd.client.registry_reader import read_all
from servd.export.changes import Change, object_changes, unified_diff
from servd.export.plan import plan_export
from servd.export.secrets import export_secrets

DIFFERENT: Final = 1
"""The exit code where there are changes: that of diff, git diff --exit-code and kubectl diff."""

_COLORS: Final = {"+": "green", "-": "red", "@": "cyan"}


def diff(session: Session, /, **flags: Any) -> int:
    """Write the changes; return the exit code."""
    _, place = place_of(flags)
    record, written = place.read_export()
    registry = read_all(session.config, session.admin_url)
    contents = ExportImages(session, registry, record.settings).contents()
    secrets = export_secrets(session.config, registry)
    plan = plan_export(registry, record.settings, secrets, contents)
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


def _write(output: Output, changes: list[Change], lines: list[str], edited: list[str]) -> None:
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
