"""What kubectl makes of an export."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from k8s_adapter.identity import Object
from k8s_adapter.render import render_kustomize
from tests.unit.k8s_adapter.test_render import by_name


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_builds_the_kustomization(objects: list[Object], tmp_path: Path):
    """`kubectl kustomize` makes of the directory the very objects of the export."""
    for name, text in render_kustomize(objects, "servd").items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["kubectl", "kustomize", tmp_path], capture_output=True, text=True, check=True, timeout=60
    )
    built = by_name(list(yaml.safe_load_all(done.stdout)))
    wanted = by_name(json.loads(json.dumps(objects)))
    assert built == wanted
