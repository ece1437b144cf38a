"""A registry with two applications, as the daemon answers it, and settings of an export."""

from typing import Any

import pytest

from servd.export.secrets import CERTIFICATE_FILES, KEY_FILES, Secrets


@pytest.fixture
def registry() -> dict[str, Any]:
    """Return a registry in JSON's terms; the test may change it."""

    def version(model: str, number: str, **more: Any) -> dict[str, Any]:
        return {
            "model": model,
            "version": number,
            "input_type": "doubles",
            "bundle": "0" * 32,
            "runtime": "process",
            "replicas": 1,
            "created_s": float(number),
            **more,
        }

    def app(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "input_type": "doubles", "slo_us": 100_000, **more}

    return {
        "applications": [app("iris", default_output="-1"), app("tags", input_type="strings")],
        "versions": [version("iris", "1"), version("iris", "2", replicas=2), version("tags", "1")],
        "current": {"iris": "2", "tags": "1"},
        "links": {"iris": ["iris"], "tags": ["tags"]},
    }


@pytest.fixture
def secrets() -> Secrets:
    """Return keys that are none."""
    return Secrets(
        tls={name: f"text of {name}" for name in CERTIFICATE_FILES},
        curve={name: f"text of {name}" for name in KEY_FILES},
    )
