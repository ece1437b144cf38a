"""`BentoService`: models and the code that answers with them, as one class."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from model_runtime.bento import elsewhere
from model_runtime.bento.exceptions import InvalidArgument, NotFound
from model_runtime.bento.service.artifacts.base import (
    ARTIFACTS_DIR_NAME,
    ArtifactCollection,
    BentoServiceArtifact,
)
from model_runtime.bento.service.env import BentoServiceEnv, of_arguments
from model_runtime.bento.service.inference_api import InferenceAPI, apis_of

if TYPE_CHECKING:
    from model_runtime.older import Self

C = TypeVar("C", bound=type)

_VERSION: Final = re.compile(r"[A-Za-z0-9_.+-]{1,128}\Z")


class _Name:
    """The name of a service: of its class, and of each instance."""

    def __get__(self, instance: Any, owner: type[BentoService]) -> str:
        own = owner._bento_service_name  # noqa: SLF001 - of the class that this is for
        if own is not None and not own.isidentifier():
            raise InvalidArgument(f"a service's name is one that a class could have, not {own!r}")
        return owner.__name__ if own is None else own


class BentoService:
    """A service. `@artifacts` says what it holds, `@api` which of its methods answer.

    Attributes that begin with an underscore are those by which scripts and bundles of BentoML 0.13
    set it up.
    """

    _bento_service_name: ClassVar[str | None] = None
    _bento_service_bundle_path: ClassVar[str | None] = None
    _bento_service_bundle_version: ClassVar[str | None] = None
    _bento_service_bundle_python: ClassVar[str] = ""
    _declared_artifacts: ClassVar[Sequence[BentoServiceArtifact]] = ()
    _declared_env: ClassVar[BentoServiceEnv | None] = None
    _version_major: ClassVar[int | None] = None
    _version_minor: ClassVar[int | None] = None
    _web_static_content: ClassVar[str | None] = None

    name = _Name()

    def __init__(self) -> None:
        self._version = self._bento_service_bundle_version
        self._artifacts = ArtifactCollection(self.name, self._declared_artifacts)
        self._env = (self._declared_env or BentoServiceEnv()).copied()
        bundle = self._bento_service_bundle_path
        if bundle is not None:
            self._artifacts.load_all(
                self._artifacts_in(Path(bundle)), self._bento_service_bundle_python
            )
        self._inference_apis = apis_of(self)
        for api in self._inference_apis:
            self._env.add_pip_packages(api.input_adapter.pip_dependencies)

    def _artifacts_in(self, bundle: Path) -> Path:
        inner = bundle / ARTIFACTS_DIR_NAME
        return inner if inner.is_dir() else bundle / self.name / ARTIFACTS_DIR_NAME

    @property
    def artifacts(self) -> ArtifactCollection:
        """What it holds; `artifacts.model` is a value."""
        return self._artifacts

    @property
    def env(self) -> BentoServiceEnv:
        """The packages that it needs."""
        return self._env

    @property
    def inference_apis(self) -> list[InferenceAPI]:
        """Its APIs."""
        return self._inference_apis

    def get_inference_api(self, api_name: str | None = None) -> InferenceAPI:
        """Return an API; None: the first.

        Raises:
            NotFound: it has none of that name.
        """
        for api in self._inference_apis:
            if api_name in (None, api.name):
                return api
        if api_name is None:
            raise NotFound(f"{self.name} has no API: @api(input=…) makes a method one")
        names = ", ".join(api.name for api in self._inference_apis)
        raise NotFound(f"{self.name} has no API '{api_name}', it has: {names or 'none'}")

    def pack(self, name: str, *args: Any, **kwargs: Any) -> Self:
        """Give an artifact its value.

        Raises:
            InvalidArgument: the service declares none of that name.
        """
        self.artifacts[name].pack(*args, **kwargs)
        self.artifacts[name].is_packed = True
        return self

    @property
    def version(self) -> str:
        """Its version: that of its bundle, one that was set, or a new one."""
        return self.set_version() if self._version is None else self._version

    @property
    def tag(self) -> str:
        """Name and version, as `IrisClassifier:20191113154121_E7D3CE`."""
        return f"{self.name}:{self.version}"

    def save(self, *_: Any, **__: Any) -> str:
        """Refuse: in a replica nothing is saved. servd.bento's services can."""
        return elsewhere.save()

    def save_to_dir(self, *_: Any, **__: Any) -> None:
        """Refuse: as `save`."""
        elsewhere.save()

    def set_version(self, version_str: str | None = None) -> str:
        """Set its version, behind the numbers of `@ver` where it has those; None: a new one.

        Raises:
            InvalidArgument: it cannot be one.
        """
        version = self.versioneer() if version_str is None else str(version_str)
        if self._version_major is not None and self._version_minor is not None:
            version = f"{self._version_major}.{self._version_minor}.{version}"
        if not _VERSION.match(version) or version.lower() == "latest" or set(version) == {"."}:
            raise InvalidArgument(
                f"a version has up to 128 letters, digits, '-', '.' and '_', and is not 'latest': "
                f"{version!r} is none"
            )
        self._version = version
        return version

    def versioneer(self) -> str:
        """Return a new version: the local time and six signs that are drawn."""
        # Folders of a repository are read by people: the time is theirs.
        return f"{datetime.now():%Y%m%d%H%M%S}_{uuid.uuid4().hex[:6].upper()}"  # noqa: DTZ005


def artifacts_decorator(artifacts: Sequence[BentoServiceArtifact]) -> Callable[[C], C]:
    """Say what a service holds.

    Raises:
        InvalidArgument: it is no list of artifacts, or two have one name.
    """
    if isinstance(artifacts, BentoServiceArtifact) or not isinstance(artifacts, Sequence):
        raise InvalidArgument("@artifacts takes a list: @artifacts([PickleArtifact('model')])")
    names: set[str] = set()
    for each in artifacts:
        if not isinstance(each, BentoServiceArtifact):
            raise InvalidArgument(f"@artifacts has artifacts, not {each!r:.60}")
        if each.name in names:
            raise InvalidArgument(f"@artifacts has two of the name '{each.name}'")
        names.add(each.name)

    def decorate(cls: C) -> C:
        cls._declared_artifacts = list(artifacts)  # type: ignore[attr-defined]
        return cls

    return decorate


def env_decorator(  # noqa: PLR0913, PLR0917 - the names and the order of BentoML's
    pip_dependencies: Sequence[str] | None = None,
    pip_packages: Sequence[str] | None = None,
    pip_index_url: str | None = None,
    pip_trusted_host: str | None = None,
    pip_extra_index_url: str | None = None,
    auto_pip_dependencies: bool | None = None,  # noqa: FBT001 - as above
    infer_pip_packages: bool = False,  # noqa: FBT001, FBT002 - as above
    requirements_txt_file: str | None = None,
    conda_channels: Sequence[str] | None = None,
    conda_overwrite_channels: bool = False,  # noqa: FBT001, FBT002 - as above
    conda_override_channels: bool = False,  # noqa: FBT001, FBT002 - as above
    conda_dependencies: Sequence[str] | None = None,
    conda_env_yml_file: str | None = None,
    setup_sh: str | None = None,
    docker_base_image: str | None = None,
    zipimport_archives: Sequence[str] | None = None,
) -> Callable[[C], C]:
    """Say what a service needs around it.

    Raises:
        InvalidArgument: an argument is not what it is to be.
    """
    env = of_arguments(dict(locals()))

    def decorate(cls: C) -> C:
        cls._declared_env = env  # type: ignore[attr-defined]
        return cls

    return decorate


def ver_decorator(major: int, minor: int) -> Callable[[C], C]:
    """Say the first two numbers of a service's versions."""

    def decorate(cls: C) -> C:
        cls._version_major, cls._version_minor = major, minor  # type: ignore[attr-defined]
        return cls

    return decorate


def web_static_content_decorator(web_static_content: str) -> Callable[[C], C]:
    """Name a folder of a service's own pages. It is kept in the bundle; servd serves its own."""

    def decorate(cls: C) -> C:
        cls._web_static_content = web_static_content  # type: ignore[attr-defined]
        return cls

    return decorate
