"""From what is wanted to a lock: resolved once, remembered by what was wanted. Used by store.py."""

import hashlib
import json
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from servd.environments import pip_settings
from servd.environments.direct import Kept, Wheels, fingerprint
from servd.environments.failures import EnvironmentFailedError
from servd.environments.interpreter import Interpreter
from servd.environments.lines import Direct, Requirements, hashes_of, name_of, normal
from servd.environments.lock import Lock, Wanted, compose, here, parse
from servd.environments.pythons import base_of, version_of
from servd.environments.running import Report
from servd.environments.toolbox import Toolbox
from servd.environments.tools import Found, Tool, Work
from servd.quantities import counted

_SETTINGS: Final = ("UV_", "PIP_")


class Resolver:
    """Makes locks. `folder` has those that were made."""

    def __init__(
        self, folder: Path, toolbox: Toolbox, wheels: Wheels, environ: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._toolbox = toolbox
        self._wheels = wheels
        self._environ = environ

    def name_of(self, wanted: Wanted, asked: Requirements, interpreter: Interpreter) -> str | None:
        """Return by what the lock of this is remembered; None where that changes unseen."""
        prints = [fingerprint(each) for each in asked.direct]
        if None in prints:
            return None
        told = {name: text for name, text in self._environ.items() if name.startswith(_SETTINGS)}
        parts = [
            *(asked.named, asked.constraints, asked.options),
            [
                (each.extras, each.marker, told_by)
                for each, told_by in zip(asked.direct, prints, strict=True)
            ],
            [interpreter.version, interpreter.abi, self._named_interpreter(wanted, interpreter)],
            [here(), told, pip_settings.settings(self._environ), self._constraint()],
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def remembered(self, name: str, asked: Requirements) -> Lock | None:
        """Return the lock that was made of this; None where there is none that can be installed."""
        with suppress(OSError, UnicodeDecodeError, EnvironmentFailedError):
            path = self._folder / f"{name}.lock"
            lock = parse(path.read_text("utf-8"))
            if self._wheels.has_all(lock):
                with suppress(OSError):
                    os.utime(path)
                return Lock(lock.text, lock.python, asked.options)
        return None

    def remember(self, name: str, lock: Lock) -> None:
        """Keep a lock by what was wanted."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._folder / f"{name}.{secrets.token_hex(4)}.new"
        try:
            draft.write_text(lock.text, "utf-8")
            draft.replace(self._folder / f"{name}.lock")
        finally:
            draft.unlink(missing_ok=True)

    def forget(self, digests: Collection[str]) -> None:
        """Forget which lock something has: it is resolved anew when it is wanted."""
        for path, lock in self._remembered():
            if lock.digest in digests:
                path.unlink(missing_ok=True)

    def locks(self) -> list[Lock]:
        """Return all that are remembered."""
        return [lock for _, lock in self._remembered()]

    def _remembered(self) -> Iterator[tuple[Path, Lock]]:
        for path in sorted(self._folder.glob("*.lock")):
            with suppress(OSError, UnicodeDecodeError, EnvironmentFailedError):
                yield path, parse(path.read_text("utf-8"))

    def resolve(
        self, wanted: Wanted, asked: Requirements, interpreter: Interpreter, report: Report
    ) -> Lock:
        """Return the lock of what is wanted.

        Raises:
            EnvironmentFailedError: it does not resolve, or something cannot be built.
        """
        tool = self._toolbox.tool(report)
        texts = [*asked.options, *asked.named, *(each.place for each in asked.direct)]
        count = len(asked.named) + len(asked.direct)
        report(
            f"resolving {counted(count, 'requirement')} for Python {interpreter.version} "
            f"with {tool.name}"
        )
        name = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
        with self._toolbox.work(f"resolve-{name}", interpreter, report, texts) as work:
            kept: dict[str, Kept] = {}
            lines = [self._line(each, asked, tool, work, kept) for each in asked.direct]
            found = tool.resolve(asked, list(filter(None, lines)), work) if count else []
            pins = [self._pin(each, asked, tool, work, kept) for each in found]
        return compose(
            pins,
            interpreter.version,
            interpreter=self._named_interpreter(wanted, interpreter),
            options=asked.options,
            wheels={each.digest: each.path.name for each in kept.values()},
        )

    def _line(
        self, each: Direct, asked: Requirements, tool: Tool, work: Work, kept: dict[str, Kept]
    ) -> str:
        """Return the line by which a resolver takes the wheel of what comes from no index."""
        wheel = self._wheels.of(each, asked, tool, work)
        if wheel is None:
            return ""
        kept[wheel.name] = wheel
        return f"{wheel.name}{each.extras} @ {wheel.path.as_uri()}"

    def _pin(
        self, found: Found, asked: Requirements, tool: Tool, work: Work, kept: dict[str, Kept]
    ) -> str:
        """Return a package's line in the lock."""
        if found.place and normal(found.name) not in kept:
            # A package may itself want another from no index.
            wanted = Direct(found.place, "", "", f"wanted by another package as {found.name}")
            self._line(wanted, asked, tool, work, kept)
        wheel = kept.get(normal(found.name))
        if wheel is not None:
            return wheel.pin
        # What somebody has pinned by its hash is that file, whichever others there are.
        lines = (line for line in asked.named if name_of(line) == normal(found.name))
        pinned = [each for line in lines for each in hashes_of(line)]
        hashes = "".join(f" \\\n    --hash={each}" for each in pinned or found.hashes)
        return f"{normal(found.name)}=={found.version}{hashes}"

    def _named_interpreter(self, wanted: Wanted, interpreter: Interpreter) -> str:
        """Return the Python that was asked for by its path: another of its version is not it."""
        if wanted.python is None or version_of(wanted.python) is not None:
            return ""
        return str(base_of(interpreter))

    def _constraint(self) -> str:
        """Return what the files say that pip's settings constrain versions by."""
        named = pip_settings.settings(self._environ).get("constraint", "").split()
        texts = []
        for each in named:
            with suppress(OSError):
                texts.append(Path(each).expanduser().read_bytes().hex())
        return "\n".join(texts)
