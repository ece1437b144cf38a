"""Puts compiled code beside the sources of a zip: `python ZIP model_runtime.compiling FROM TO`.

Run once by servd/environments/runtime.py in each Python that runs models, as only it makes code
that it takes; from the sources alone a replica would compile all that it imports at each start.
"""

from __future__ import annotations

import importlib.util
import marshal
import struct
import sys
import zipfile
from typing import Final

_UNCHECKED: Final = struct.pack("<I", 1)
"""Says in a .pyc that nobody is to look whether its source is still the same (PEP 552)."""


def main() -> int:
    """Run as a program; return the exit status. TO is a descriptor, and NAME where it will lie."""
    source, descriptor, name = sys.argv[1:]
    with zipfile.ZipFile(source) as archive, _written(int(descriptor)) as compiled:
        for member in archive.infolist():
            content = archive.read(member)
            compiled.writestr(member, content)
            if member.filename.endswith(".py"):
                beside = zipfile.ZipInfo(f"{member.filename}c", member.date_time)
                compiled.writestr(beside, _code_of(content, f"{name}/{member.filename}"))
    return 0


def _written(descriptor: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(open(descriptor, "wb"), "w")


def _code_of(source: bytes, path: str) -> bytes:
    """Return the content of a .pyc."""
    code = compile(source, path, "exec", dont_inherit=True)
    proof = importlib.util.source_hash(source)
    return importlib.util.MAGIC_NUMBER + _UNCHECKED + proof + marshal.dumps(code)


if __name__ == "__main__":
    sys.exit(main())
