"""`BentoService`: a service that can save itself."""

from pathlib import Path

from model_runtime.bento.service.definition import BentoService as _Service
from servd.bento import saving


class BentoService(_Service):
    """A service: `@artifacts` says what it holds, `@api` which of its methods answer."""

    def save(
        self,
        yatai_url: str | None = None,
        version: str | None = None,
        labels: dict[str, str] | None = None,
    ) -> str:
        """Save it in the repository, `~/bentoml/repository/NAME/VERSION`; return the path.

        Args:
            yatai_url: None; there are no servers of bundles.
            version: what it is called; None: a new version.
            labels: kept in the bundle's description.

        Raises:
            FailedPrecondition: an artifact has no value.
            BentoMLException: it cannot be saved; the message says why.
        """
        return saving.save_in_repository(self, yatai_url, version, labels)

    def save_to_dir(self, path: str | Path, version: str | None = None) -> None:
        """Save it in a folder that is there, and has none of it yet.

        Raises:
            FailedPrecondition: an artifact has no value.
            BentoMLException: it cannot be saved; the message says why.
        """
        saving.save_in(self, Path(path), version)
