"""What installs a model's packages where servd's environment has no pip: uv's tools and pipx's."""

import sys

import pytest

from servd.clipper import model_images
from servd.clipper.exceptions import ClipperException

UV = """#!/bin/sh
[ "$1" = --version ] && echo 'uv 0.13.9' && exit
[ "$1 $2 $3" = "pip install --python" ] && mkdir -p "$7" && echo "$4 $8" > "$7/said"
"""


class Bare:
    """An interpreter for which nothing is installed."""

    def has_module(self, _top: str) -> bool:
        """Tell that nothing is there."""
        return False


def test_uv_installs_where_there_is_no_pip(tmp_path, monkeypatch):
    """For the interpreter that servd runs in, into the folder that the model takes along."""
    monkeypatch.setattr(model_images, "own", Bare)
    program = tmp_path / "uv"
    program.write_text(UV)
    program.chmod(0o755)
    monkeypatch.setenv("SERVD_UV", str(program))
    model_images._install(["a-package==1.0"], tmp_path / "packages")
    said = (tmp_path / "packages" / "said").read_text().split()
    assert said == [sys.executable, "a-package==1.0"]


def test_that_there_is_neither_is_said(tmp_path, monkeypatch):
    """Not as a fault of the package."""
    monkeypatch.setattr(model_images, "own", Bare)
    monkeypatch.setenv("SERVD_UV", "0")
    with pytest.raises(ClipperException, match="has no pip, and there is no uv"):
        model_images._install(["a-package==1.0"], tmp_path / "packages")
