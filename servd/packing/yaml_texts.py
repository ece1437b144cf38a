"""YAML that others wrote, as values. Used by readers of MLflow's and BentoML's descriptions."""

from typing import Any, Final

import yaml

_UNFIT: Final = (LookupError, AttributeError, TypeError, ValueError, RecursionError)
"""What PyYAML raises of a value that its tag does not fit, as of `!!bool x` and `!!int ''`."""


def values_of(text: str | bytes) -> Any:
    """Return what a text says; nothing that it names is made.

    Raises:
        yaml.YAMLError: it is no YAML, or has a value that its tag does not fit.
    """
    try:
        return yaml.safe_load(text)
    except _UNFIT as error:
        raise yaml.YAMLError(f"a value does not fit its tag or place: {error}") from error
