"""A registry with two applications, and settings of an export."""

from typing import Any

import pytest

from servd.datatypes import Application, InputType, ModelVersion, RegistryState
from servd.export.secrets import CERTIFICATE_FILES, KEY_FILES, Secrets
from tests.kept_texts import kept_schemas, kept_texts

__all__ = ["kept_schemas", "kept_texts", "registry", "secrets"]


@pytest.fixture
def registry() -> RegistryState:
    """Return a registry; the test may change its maps."""

    def version(model: str, number: str, **more: Any) -> ModelVersion:
        return ModelVersion(
            model=model,
            version=number,
            input_type=InputType.DOUBLES,
            bundle="0" * 32,
            created_s=float(number),
            **{"replicas": 1, **more},
        )

    def app(name: str, **more: Any) -> Application:
        return Application(
            name=name, **{"input_type": InputType.DOUBLES, "slo_us": 100_000, **more}
        )

    apps = [app("iris", default_output="-1"), app("tags", input_type=InputType.STRINGS)]
    versions = [version("iris", "1"), version("iris", "2", replicas=2), version("tags", "1")]
    return RegistryState(
        applications={each.name: each for each in apps},
        versions={each.id: each for each in versions},
        current={"iris": "2", "tags": "1"},
        links={"iris": ("iris",), "tags": ("tags",)},
    )


@pytest.fixture
def secrets() -> Secrets:
    """Return keys that are none."""
    return Secrets(
        tls={name: f"text of {name}" for name in CERTIFICATE_FILES},
        curve={name: f"text of {name}" for name in KEY_FILES},
    )
