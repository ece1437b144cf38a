"""`servd.Client`: what the command line can do, from Python. One call after the other.

Called by users' programs, by servd.testing and by what is made of it for other tools' names.
"""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

import msgspec

from servd.client import calls, deployment, wanted
from servd.client.admin import AdminClient, find_daemon
from servd.client.calls import Call, LogsWanted
from servd.client.deployment import Naming
from servd.client.ending import GRACE_S, shut_down
from servd.client.logs import log_lines
from servd.client.objects import as_target
from servd.client.querying import Querying, named
from servd.client.report import OnEvent, Report, with_notes
from servd.client.spawn import start_daemon, wait_until_loaded
from servd.client.values import (
    Application,
    Deployment,
    Model,
    Replica,
    Route,
    Status,
    Version,
    VersionName,
    value_of,
)
from servd.client.wanted import UNSET
from servd.config import Config, load_config
from servd.environments.store import Environments
from servd.errors import StartError
from servd.registry.happenings import Happening

T = TypeVar("T")

SILENCE_S: Final = 30.0
"""The daemon gives a sign of life every few seconds."""

CHANGE_TIMEOUT_S = 300.0
"""An older version's replicas may have to be launched before a change is in force."""


class Client(Querying):
    """A servd daemon and what it serves. Every method raises a subclass of `ServdError`.

    The daemon is found as the command line finds it: `url` or SERVD_ADMIN names its admin API, else
    it is the one on `data_dir`, SERVD_DATA_DIR or the usual folder. May be used by several threads.

    Args:
        url: the admin API, `http://host:1338` or `unix:/path`.
        data_dir: the daemon's folder, where there is no url.
        token: in the place of SERVD_TOKEN.
        timeout_s: how long an answer is waited for; deployments have the daemon's own limits.
        start: start the daemon where none runs, at the first call.
        retries: how often a query is sent again that was lost before an answer came
            (docs/python.md); 0: never.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        data_dir: str | Path | None = None,
        token: str | None = None,
        timeout_s: float = 30.0,
        start: bool = False,
        retries: int = 2,
    ) -> None:
        super().__init__(timeout_s, retries)
        self._url = url
        self._data_dir = data_dir
        self._token = token
        self._start = start

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- the daemon ---

    @cached_property
    def config(self) -> Config:
        """The settings that are found here, of which a daemon would be started."""
        folder = None if self._data_dir is None else str(self._data_dir)
        return load_config({"data_dir": folder, "token": self._token}, os.environ, Path.cwd())

    @property
    def admin_url(self) -> str | None:
        """Where the daemon was said to be, if it was."""
        return self._url or (None if self._data_dir else os.environ.get("SERVD_ADMIN")) or None

    @property
    def admin(self) -> AdminClient:
        """The admin API itself, for what has no method here."""
        return self._admin(self.timeout_s)

    def _admin(self, timeout_s: float) -> AdminClient:
        if self._start:
            self._start = False
            self.start()
        return find_daemon(self.config, self.admin_url, timeout_s)

    def _ask(self, call: Call, kind: type[T], timeout_s: float | None = None) -> T:
        with with_notes():
            return value_of(self._admin(timeout_s or self.timeout_s).ask(call), kind)

    def status(self) -> Status:
        """Return what the daemon is, and where it answers."""
        return self._ask(calls.status(), Status)

    def start(self, **settings: Any) -> Status:
        """Start the daemon where none runs, with these settings (docs/operations.md).

        Waits until its models are up, ten seconds at most.

        Raises:
            StartError: it could not be started; the message says why.
        """
        if self.admin_url:
            return self.status()
        try:
            status, _ = start_daemon(self.config, settings)
        except StartError as error:
            # The flags that the hint speaks of are those of `servd start`.
            error.hint = error.hint.replace("--", "servd start --", 1)
            raise
        return value_of(wait_until_loaded(self.admin, status), Status)

    def stop(self, *, drain_s: float | None = None) -> None:
        """Stop the daemon and its replicas; running queries get `drain_s`, None: its own time."""
        admin = self.admin
        pid = admin.ask(calls.status())["pid"]
        limit_s = GRACE_S + (self.config.drain_s if drain_s is None else drain_s)
        shut_down(admin, pid, drain_s, limit_s)
        self.close()

    # --- deploying ---

    def deploy(  # noqa: D417, PLR0913 - the words of `servd deploy`
        self,
        target: Any = None,
        *,
        name: str | None = None,
        version: str | int | None = None,
        app: str | Literal[False] | None = None,
        input_type: str | None = None,
        columns: Any = None,
        schema: Any = None,
        example: Any = UNSET,
        extra_columns: str | None = None,
        output: str | None = None,
        concurrency: int | None = None,
        default: Any = None,
        slo_ms: float | None = None,
        cache: bool = True,
        replicas: int | None = None,
        max_batch: int | None = None,
        batching: str = "aimd",
        batch_wait_ms: float = 0,
        method: str | None = None,
        skip_test: bool = False,
        include: Any = (),
        parameters: Any = None,
        loader: str | None = None,
        trust: Any = (),
        architecture: str | None = None,
        task: str | None = None,
        env: str | None = None,
        requirements: str | Path | None = None,
        python: str | None = None,
        runtime: str | None = None,
        image: str | None = None,
        memory: str | int | None = None,
        cpus: float | None = None,
        gpus: str | int | None = None,
        device: str | None = None,
        threads: int | None = None,
        env_vars: Any = (),
        labels: Any = (),
        wait: bool = True,
        on_event: OnEvent | None = None,
    ) -> Deployment:
        """Deploy a model and return when it is live.

        Args:
            target: "file.py:name", a path, a function, or a fitted model; None with `image`.
            name: the model's; that of the object or the file where it is not given.
            version: its version; the next whole number where it is not given.
            app: the application's name, the model's where it is not given; False: none.
            parameters: what a class is made with, by name.
            loader: the format of a file that may be of several.
            trust: types in a skops file that may be loaded.
            architecture: "file.py:Class", what weights are put into (`--class`).
            task: what a pipeline is used for.
            env: the environment: "shared", "auto", "new", "venv:PATH" (docs/environments.md).
            requirements: a file of what a new one is to have.
            python: of which Python it is: a version, or a path.
            wait: False: return when it has been accepted.
            on_event: called with each step as it comes.

        The others are the options of `servd deploy` (docs/deploying.md, docs/python.md).

        Raises:
            TargetError: the target cannot be deployed; nothing was sent.
            ApiError: it could not be loaded, or was refused; nothing was changed.
        """
        given = {name: value for name, value in locals().items() if name != "self"}
        report = Report(on_event)
        with with_notes():
            admin, request = self.begin(given, report)
            deployment.follow(admin, request, report, is_waiting=wait)
            return report.result()

    def begin(self, given: dict[str, Any], report: Report) -> tuple[AdminClient, dict[str, Any]]:
        """Send what is to be deployed, of the arguments of `deploy`; return what asks for it.

        Called by `deploy`, and by the asynchronous client in a thread.
        """
        version = named(given["version"])
        naming = Naming(name=given["name"], app=given["app"], version=version)
        settings = wanted.request_settings(given)
        config, target = self.config, given["target"]
        # Loading and testing are the daemon's to limit; this is what a broken connection may cost.
        admin = self._admin(config.load_timeout_s + config.test_timeout_s + 30.0)
        if target is None:
            request = deployment.image_request(naming, given["image"], given["input_type"])
        else:
            options = wanted.bundle_options(given, config.load_timeout_s)
            with as_target(target, naming.name, options.method) as found:
                environments = Environments(config.environments_dir)
                prepared = deployment.prepare(found, naming, options, report, environments)
                request = deployment.send(admin, prepared, report)
        return admin, request | settings

    # --- applications ---

    def apps(self) -> list[Application]:
        """Return the applications."""
        return self._ask(calls.applications(), list[Application])

    def app(self, name: str) -> Application:
        """Return one application."""
        return self._ask(calls.application(name), Application)

    def create_app(
        self, name: str, *, input_type: str, default: Any = None, slo_ms: float | None = None
    ) -> Application:
        """Create an application: a name that answers queries, once a model is linked to it."""
        call = wanted.new_application(name, input_type, default, slo_ms)
        return self._ask(call, Application)

    def delete_app(self, name: str) -> None:
        """Remove an application; its models stay."""
        self.admin.ask(calls.delete_application(name))

    def link(self, app: str, model: str) -> None:
        """Have a model answer an application's queries."""
        self.admin.ask(calls.link(app, model))

    def unlink(self, app: str, model: str) -> None:
        """Take a model away from an application."""
        self.admin.ask(calls.unlink(app, model))

    def set_default_app(self, name: str | None) -> None:
        """Have paths without a name answer for an application; None: for none but the only one."""
        self.admin.ask(calls.set_default_application(name))

    def routes(self) -> list[Route]:
        """Return the further paths of applications."""
        return self._ask(calls.routes(), list[Route])

    def add_route(
        self,
        route: str,
        app: str,
        *,
        takes: str | None = None,
        gives: str | None = None,
        batch: bool = False,
    ) -> Route:
        """Have an application answer at a further path, as in "POST /score"."""
        return self._ask(wanted.new_route(route, app, takes, gives, is_batch=batch), Route)

    def delete_route(self, route: str) -> None:
        """Remove a further path, as in "POST /score"."""
        self.admin.ask(calls.delete_route(*wanted.method_and_path(route)))

    # --- models ---

    def models(self) -> list[Model]:
        """Return the models with their versions."""
        return self._ask(calls.models(), list[Model])

    def model(self, name: str) -> Model:
        """Return one model with its versions."""
        return self._ask(calls.model(name), Model)

    def versions(self, name: str) -> list[Version]:
        """Return the versions of a model, oldest first."""
        return list(self.model(name).versions)

    def set_version(self, name: str, version: str | int) -> VersionName:
        """Make a version of a model the current one."""
        return self._ask(calls.rollback(name, str(version)), VersionName, CHANGE_TIMEOUT_S)

    def rollback(self, name: str) -> VersionName:
        """Make the version before the current one of a model current."""
        return self._ask(calls.rollback(name), VersionName, CHANGE_TIMEOUT_S)

    def scale(self, name: str, replicas: int, version: str | int | None = None) -> Version:
        """Set how many replicas a version of a model has; None: the current one."""
        call = calls.scale(name, replicas, named(version))
        return self._ask(call, Version, CHANGE_TIMEOUT_S)

    def delete_model(
        self, name: str, version: str | int | None = None, *, force: bool = False
    ) -> None:
        """Remove a model or one version of it; `force`: also what answers queries."""
        call = calls.delete_model(name, named(version), is_forced=force)
        self._admin(60.0).ask(call)

    def replicas(self) -> list[Replica]:
        """Return the replicas: states, rates, latencies, memory."""
        return self._ask(calls.replicas(), list[Replica])

    def events(self) -> Iterator[Happening]:
        """Yield what happens to applications, versions and replicas, as it happens.

        The first is `listening`: what happens after it is told. Ends when the daemon does.
        """
        for line in self._admin(SILENCE_S).lines(calls.events().path):
            if line:
                yield value_of(msgspec.json.decode(line), Happening)

    def logs(
        self,
        name: str = "daemon",
        *,
        version: str | int | None = None,
        replica: int | None = None,
        lines: int = 100,
        follow: bool = False,
    ) -> Iterator[str]:
        """Yield what a model's replicas have logged, an application's, or the "daemon" itself.

        The last `lines` first; then what comes, where it is to `follow`.
        """
        which = LogsWanted(
            lines=lines,
            version=named(version),
            replica=replica,
            is_following=follow,
        )
        # Nothing may be logged for hours: following has no limit that counts.
        yield from log_lines(self._admin(86400.0 if follow else self.timeout_s), name, which)
