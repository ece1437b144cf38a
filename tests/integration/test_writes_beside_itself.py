"""A model that writes beside itself works, and nothing of it gets into what it was made from."""

import time

from model_runtime.bundle import digest_of

MODEL = """
import os
from pathlib import Path

HERE = Path(__file__).parent
SEEN = HERE / "seen.txt"
(HERE / "made" / "at_import").mkdir(parents=True, exist_ok=True)

def f(xs):
    with SEEN.open("a") as file:
        file.write("once\\n")
    Path("relative.txt").write_text("x")
    with Path(__file__).open("a") as file:
        file.write("# touched\\n")
    return [len(SEEN.read_text().split()) for _ in xs]
"""


def ask(daemon, value=0.0):
    """Return what the model answers to a value, once it is up."""
    end_s = time.monotonic() + 30.0
    while True:
        _, found = daemon.query("/f/predict", {"input": [value]})
        if not found.get("default", True) or time.monotonic() > end_s:
            return found["output"]
        time.sleep(0.05)


def test_what_a_model_writes_ends_with_its_replica(daemon):
    """The bundle keeps its digest, an image gets what was deployed, the next one begins anew."""
    model = daemon.data_dir.parent / "model.py"
    model.write_text(MODEL)
    done = daemon.cli("deploy", f"{model}:f", "--slo", "5s", "--skip-test")
    assert done.returncode == 0, done.stderr
    (bundle,) = (daemon.data_dir / "bundles").iterdir()
    assert [ask(daemon, value) for value in range(3)] == [1, 2, 3]
    assert digest_of(bundle) == bundle.name
    assert sorted(path.name for path in bundle.rglob("*")) == ["files", "model.json", "model.py"]
    context = daemon.data_dir.parent / "context"
    assert daemon.cli("build", "f", "--context-only", str(context)).returncode == 0
    assert digest_of(context / "bundle") == bundle.name
    daemon.stop()
    assert list((daemon.data_dir / "scratch").glob("*")) == []
    daemon.start()
    assert ask(daemon) == 1


def test_a_bundle_that_was_changed_goes_into_no_image(daemon):
    """The build refuses and says why; deploying again brings the right files."""
    daemon.expected_errors.append("are not those that were deployed")
    model = daemon.data_dir.parent / "model.py"
    model.write_text("def f(xs):\n    return [7 for _ in xs]\n")
    assert daemon.cli("deploy", f"{model}:f", "--slo", "5s").returncode == 0
    (bundle,) = (daemon.data_dir / "bundles").iterdir()
    (bundle / "files" / "cache.txt").write_text("seen")
    context = daemon.data_dir.parent / "context"
    done = daemon.cli("build", "f", "--context-only", str(context))
    assert done.returncode == 1
    assert "are not those that were deployed" in done.stderr
    assert daemon.cli("deploy", f"{model}:f", "--slo", "5s").returncode == 0
    assert digest_of(bundle) == bundle.name
    assert daemon.cli("build", "f", "--context-only", str(context)).returncode == 0
