"""What a service needs around it: packages, as its `@env` says. Written into its bundle."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from model_runtime.bento.exceptions import InvalidArgument
from model_runtime.older import dataclass

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(slots=True)
class BentoServiceEnv:
    """What `@env` was given. `infer_pip_packages`: what is imported is to be found out."""

    pip_packages: list[str] = field(default_factory=list)
    pip_index_url: str | None = None
    pip_trusted_host: str | None = None
    pip_extra_index_url: str | None = None
    infer_pip_packages: bool = False
    requirements_txt_file: str | None = None
    conda_channels: list[str] | None = None
    conda_dependencies: list[str] | None = None
    conda_env_yml_file: str | None = None
    setup_sh: str | None = None
    docker_base_image: str | None = None
    python_version: str = field(default_factory=platform.python_version)

    def copied(self) -> BentoServiceEnv:
        """Return another one of the same."""
        given = {name: getattr(self, name) for name in self.__slots__}
        return BentoServiceEnv(**given | {"pip_packages": list(self.pip_packages)})

    def add_pip_packages(self, packages: Iterable[str]) -> None:
        """Add packages that are not there yet."""
        there = {name_of(each) for each in self.pip_packages}
        self.pip_packages += [each for each in packages if name_of(each) not in there]

    def requirements(self) -> str:
        """Return requirements.txt.

        Raises:
            InvalidArgument: the file that was named cannot be read.
        """
        if self.requirements_txt_file is not None:
            try:
                return Path(self.requirements_txt_file).read_text("utf-8")
            except OSError as error:
                raise InvalidArgument(
                    f"@env names {self.requirements_txt_file}, which cannot be read: "
                    f"{error.strerror}"
                ) from error
        options = {
            "--index-url": self.pip_index_url,
            "--trusted-host": self.pip_trusted_host,
            "--extra-index-url": self.pip_extra_index_url,
        }
        lines = [f"{option}={value}" for option, value in options.items() if value]
        return "".join(f"{line}\n" for line in [*lines, *self.pip_packages])

    def to_dict(self) -> dict[str, Any]:
        """Return what the description of a bundle says of it."""
        told = {
            "python_version": self.python_version,
            "pip_packages": self.pip_packages,
            "pip_index_url": self.pip_index_url,
            "pip_trusted_host": self.pip_trusted_host,
            "pip_extra_index_url": self.pip_extra_index_url,
            "docker_base_image": self.docker_base_image,
            "conda_env": self.conda_env(),
            "requirements_txt": self.requirements_txt_file and self.requirements(),
        }
        return {name: each for name, each in told.items() if each is not None}

    def conda_env(self) -> dict[str, Any]:
        """Return what environment.yml says, where it is no file of the user's."""
        known: dict[str, Any] = {"name": "bentoml-default-conda-env"}
        if self.conda_channels:
            known["channels"] = list(self.conda_channels)
        return known | {"dependencies": list(self.conda_dependencies or ())}


def name_of(requirement: str) -> str:
    """Return the name of a package that is wanted in some version."""
    found = _NAME.match(requirement.strip())
    return found[0].lower().replace("_", "-") if found else requirement


def of_arguments(given: dict[str, Any]) -> BentoServiceEnv:
    """Return what `@env` was given; older names of arguments count.

    Raises:
        InvalidArgument: packages are not a list of texts.
    """
    packages = given.pop("pip_dependencies") or given["pip_packages"] or []
    if isinstance(packages, str) or not isinstance(packages, Sequence):
        raise InvalidArgument(f"@env(pip_packages=…) is a list of texts, not {packages!r:.60}")
    wrong = [each for each in packages if not isinstance(each, str)]
    if wrong:
        raise InvalidArgument(f"@env(pip_packages=…) has texts, not {wrong[0]!r:.60}")
    infer = given.pop("auto_pip_dependencies") or given["infer_pip_packages"]
    known = {name: given[name] for name in BentoServiceEnv.__slots__ if name in given}
    return BentoServiceEnv(
        **known | {"pip_packages": list(packages), "infer_pip_packages": bool(infer)}
    )
