"""What `servd env` does. Loaded when it is run: without a daemon it reads the data directory."""

from typing import Any

from servd.cli.output import Output, size
from servd.cli.session import Session
from servd.client.environments import EnvironmentsAt
from servd.quantities import counted, shown_bytes

_MAX_NAMED = 3


def _at(session: Session) -> EnvironmentsAt:
    return EnvironmentsAt(session.config, session.admin_url)


def ls(session: Session) -> None:
    """List the environments."""
    found, output = _at(session).all(), session.output
    if output.is_json:
        output.document(found)
    elif not found:
        output.line(
            "no environments: servd deploy TARGET --requirements FILE    builds one, "
            "or a model runs in one that is there"
        )
    else:
        output.table(("KEY", "PYTHON", "PACKAGES", "SIZE", "USED BY"), [_row(e) for e in found])
        total = sum(each["size_bytes"] for each in found)
        unused = sum(each["state"] == "ready" and not each["used_by"] for each in found)
        note = f"; {unused} unused: servd env prune    removes them" if unused else ""
        output.line(f"{counted(len(found), 'environment')}, {shown_bytes(total)}{note}")


def show(session: Session, /, key: str) -> None:
    """Show one environment."""
    found, output = _at(session).show(key), session.output
    if output.is_json:
        output.document(found)
        return
    output.answer(f"{found['key']}  Python {found['python']}, {shown_bytes(found['size_bytes'])}")
    output.fields(
        [
            ("used by", ", ".join(found["used_by"]) or "no version"),
            ("built", f"by {found['tool']} in {found['took_s']:.1f} s"),
            ("path", found["path"]),
            ("log", found["log"]),
        ]
    )
    if found["packages"]:
        output.table(("PACKAGE", "VERSION"), sorted(found["packages"].items()))


def prune(session: Session) -> None:
    """Remove those that nothing uses."""
    removed = _at(session).prune()
    _tell(session.output, removed, "nothing to remove: every environment is used")


def rm(session: Session, /, key: str, *, force: bool) -> None:
    """Remove one."""
    _tell(session.output, [_at(session).remove(key, is_forced=force)], "")


def _tell(output: Output, removed: list[dict[str, Any]], nothing: str) -> None:
    freed = sum(each["size_bytes"] for each in removed)
    listed = ", ".join(each["key"] for each in removed)
    text = f"removed {counted(len(removed), 'environment')} ({listed}), {shown_bytes(freed)}"
    output.result(
        {"removed": [each["key"] for each in removed], "freed_bytes": freed},
        text if removed else nothing,
    )


def _row(found: dict[str, Any]) -> tuple[str, ...]:
    if found["state"] != "ready":
        return (found["key"], "-", "being built", "-", "-")
    return (
        found["key"],
        found["python"],
        _named(found["packages"]),
        size(found["size_bytes"]),
        ", ".join(found["used_by"]) or "-",
    )


def _named(packages: dict[str, str]) -> str:
    """Return some of the packages, and how many more there are."""
    pins = [f"{name} {version}" for name, version in sorted(packages.items())]
    more = len(pins) - _MAX_NAMED
    return ", ".join(pins[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "") or "none"
