"""ARCHITECTURE.md against the tree: it is the map, and a wrong map is worse than none."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAP = (ROOT / "ARCHITECTURE.md").read_text()
PACKAGES = sorted(file.parent.relative_to(ROOT) for file in (ROOT / "servd").rglob("__init__.py"))[
    1:
]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w/]+\.py)`", MAP))))
def test_every_file_that_it_names_is_there(name):
    """With the folder where it is named with one."""
    found = [
        file
        for top in ("servd", "model_runtime", "k8s_adapter", "tests")
        for file in (ROOT / top).rglob(Path(name).name)
    ]
    assert any(f"/{file.relative_to(ROOT)}".endswith(f"/{name}") for file in found)


@pytest.mark.parametrize("folder", PACKAGES, ids=str)
def test_every_package_says_what_it_is_who_calls_it_and_what_it_may_import(folder):
    """In its docstring, and the map has its name."""
    text = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text())) or ""
    text = " ".join(text.split())
    assert re.search(r"(Called|Made|Counted) (by|from)", text)
    assert re.search(r"[Mm]ay import|what it may import", text)
    assert f"{folder.name}/" in MAP
