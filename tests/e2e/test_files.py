"""Files deployed, asked and shown: an example, the printed line, `servd predict`, forms."""

import base64
import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.daemon import Daemon
from tests.e2e.steps import running_daemon

SOURCE = """
import hashlib

def digest(picture: bytes) -> dict:
    return {"md5": hashlib.md5(picture).hexdigest(), "size": len(picture)}

def lengths(pictures):
    return [len(picture) for picture in pictures]

def above(image: bytes, threshold: float = 0.5, word: str = "") -> list:
    return [len(image), threshold, word]
"""
CAT = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)) * 600


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield one daemon for all tests here."""
    with running_daemon() as running:
        yield running


@pytest.fixture
def folder(tmp_path):
    """Return a folder with the models, and a picture of 150 kB."""
    (tmp_path / "files.py").write_text(SOURCE)
    (tmp_path / "cat.jpg").write_bytes(CAT)
    return tmp_path


def deployed(daemon, folder, *words):
    """Deploy with the picture for an example and return the curl line that is printed."""
    done = daemon.cli("deploy", *words, "--example", "@cat.jpg", cwd=folder)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  curl ")]
    assert "--data-binary @cat.jpg " in line
    return line


def pasted(line, folder):
    """Paste a curl line into a shell there and return the answer."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{line} --silent"],
        cwd=folder, capture_output=True, check=True, timeout=30,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (("files.py:digest",), {"md5": None, "size": len(CAT)}),
        (("files.py:lengths", "--input-type", "bytes"), len(CAT)),
    ],
)
def test_a_picture_is_an_example_and_an_input(daemon, folder, words, output):
    """The printed line sends the file, as does `predict`; a form of two is a batch."""
    line = deployed(daemon, folder, *words)
    answer = pasted(line, folder)["output"]
    name = words[0].partition(":")[2]
    if name == "digest":
        assert answer["size"] == output["size"]
    else:
        assert answer == output
    done = daemon.cli("predict", name, "@cat.jpg", cwd=folder)
    assert json.loads(done.stdout)["output"] == answer
    url = line.split()[-1]
    form = f"curl -F a=@cat.jpg -F 'b=@files.py' {url}"
    found = [each["output"] for each in pasted(form, folder)["batch_predictions"]]
    assert found[0] == answer
    status, known = daemon.query(f"/{name}/predict", {"input": base64.b64encode(CAT).decode()})
    assert (status, known["output"]) == (200, answer)


def test_a_form_of_fields(daemon, folder):
    """A picture, and numbers and texts beside it, by their names."""
    done = daemon.cli("deploy", "files.py:above", cwd=folder)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  curl ")]
    url = line.split()[-1]
    answer = pasted(f"curl -F image=@cat.jpg -F threshold=0.25 -F word=é {url}", folder)
    assert answer["output"] == [len(CAT), 0.25, "é"]
    refused = pasted(f"curl -F image=@cat.jpg -F treshold=0.25 {url}", folder)
    assert refused["detail"][0]["loc"] == ["form", "treshold"]
