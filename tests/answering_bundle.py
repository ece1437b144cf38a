"""Loads a bundle as a replica does, in a process of its own, and asks it. Run by tests.

`python answering_bundle.py FOLDER JSON` prints the outputs for a batch of one or more inputs.
"""

import json
import subprocess
import sys
from pathlib import Path

from model_runtime import inputs, loaders


def answers_of(bundle, *batch):
    """Return the outputs of a bundle for some inputs; nothing of the project is in sight."""
    done = subprocess.run(
        [sys.executable, "-P", __file__, str(bundle), json.dumps(batch)],
        cwd="/", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def main():
    """Answer what the command line asks."""
    model = loaders.load(Path(sys.argv[1]))
    batch = inputs.pack(json.loads(sys.argv[2]), model.input_type)
    outputs = [json.loads(text) for text in model.predictor.predict(batch)]
    sys.stdout.write(json.dumps(outputs))


if __name__ == "__main__":
    main()
