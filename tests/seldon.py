"""Seldon's protocol as tests speak it: requests as they were sent to Seldon Core's own wrapper."""

import http.client
import json
from pathlib import Path
from typing import Any

CLASSES = Path(__file__).parent / "models" / "seldon_model.py"
ANSWERS = Path(__file__).parent / "golden" / "seldon" / "answers.json"
"""What seldon-core-microservice 1.18.2 answered for classes of that file, by class, in order."""


def answers(name: str) -> list[dict[str, Any]]:
    """Return the requests that a class was asked, each with status and answer."""
    found: list[dict[str, Any]] = json.loads(ANSWERS.read_text())[name]
    return found


def ask(port: int, method: str, path: str, body: str | None, kind: str | None) -> tuple[int, str]:
    """Send one request; return status and text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Content-Type": kind} if kind else {}
        connection.request(method, path, None if body is None else body.encode(), headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
