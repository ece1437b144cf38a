"""Put figures into docs/benchmarks.md, between the markers of their name."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.settings import ROOT

DOCUMENT = ROOT / "docs/benchmarks.md"
PICTURES = ROOT / "docs/benchmarks"


def record(name: str, text: str, out: Path, pictures: Sequence[str]) -> None:
    """Replace what stands between the markers of `name`; copy the pictures to docs/benchmarks/."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    document = DOCUMENT.read_text("utf-8")
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{DOCUMENT} has no markers {begin} … {end}")
    PICTURES.mkdir(exist_ok=True)
    links = []
    for picture in pictures:
        source = out / f"{picture}.svg"
        if source.exists():
            shutil.copy(source, PICTURES / source.name)
            links.append(f"![{picture}](benchmarks/{source.name})\n")
    body = "\n".join([text.rstrip() + "\n", *links])
    DOCUMENT.write_text(f"{before}{begin}\n\n{body}\n{end}{after}", "utf-8")
    print(f"{DOCUMENT.name} holds the new figures")
