"""Packages as they are installed, for the tests of images."""

import importlib
import json

import pytest

from servd.imaging.sources import source_of


class Site:
    """A folder of installed packages that Python finds."""

    def __init__(self, folder):
        self.folder = folder

    def install(self, name, version="1.0", direct=None, *, files=None, wheel=None):
        """Install a package as pip would have."""
        files = {f"{name}/__init__.py": f"VALUE = '{name}'\n"} if files is None else files
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        files = {**files, f"{info}/METADATA": metadata, f"{info}/top_level.txt": f"{name}\n"}
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{name} = {name}:main\n"
        if wheel:
            files[f"{info}/WHEEL"] = wheel
        if direct:
            files[f"{info}/direct_url.json"] = json.dumps(direct)
        for path, text in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text)
        record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD", "../../bin/tool"])
        (self.folder / info / "RECORD").write_text(record)
        importlib.invalidate_caches()


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return a folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    source_of.cache_clear()
    yield Site(folder)
    source_of.cache_clear()
