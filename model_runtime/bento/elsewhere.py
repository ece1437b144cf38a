"""What a script does around its service, by the names that it imports. A replica only answers.

Used in replicas, where a service's code is the script's whole file: it may import these names, and
does not call them. servd.bento has the real ones.
"""

from __future__ import annotations

from typing import Any, NoReturn

from model_runtime.bento.exceptions import BentoMLException

__all__ = [
    "deploy_bentoml",
    "load",
    "load_bento_service_api",
    "load_bento_service_class",
    "load_from_dir",
    "save",
    "save_to_dir",
]


def _refusal(name: str) -> BentoMLException:
    return BentoMLException(
        f"{name} is called when the service's file is imported, and there is none of it in a "
        "replica: put what saves and deploys below `if __name__ == '__main__':`"
    )


def load(*_: Any, **__: Any) -> NoReturn:
    """Refuse."""
    raise _refusal("load")


def save(*_: Any, **__: Any) -> NoReturn:
    """Refuse."""
    raise _refusal("save")


def deploy_bentoml(*_: Any, **__: Any) -> NoReturn:
    """Refuse."""
    raise _refusal("deploy_bentoml")


load_from_dir = load_bento_service_api = load_bento_service_class = load
save_to_dir = save
