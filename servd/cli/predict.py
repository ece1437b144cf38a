"""`servd predict`: one query, as any client would send it."""

import http.client
import json
import shlex
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import click

from servd.cli.files import BYTES, File, is_from_file, read_input
from servd.cli.session import Session
from servd.cli.verb import verb
from servd.client import calls
from servd.client.admin import query_base
from servd.client.calls import segment
from servd.errors import ApplicationNotFoundError, ServdError
from servd.quantities import longer_objective_s, shown_duration

_TIMEOUT_S: Final = 120.0


class QueryRefusedError(ServdError):
    """A query that was answered with an error."""

    code = "query_refused"


@verb(
    "predict",
    examples=(
        "servd predict feature_sum '[1.1, 2.2, 3.3]'",
        "servd predict cats @cat.jpg",
    ),
)
@click.argument("app")
@click.argument("value", metavar="JSON|@FILE|-")
@click.option("--batch", "is_batch", is_flag=True, help="JSON is a list of inputs.")
@click.option(
    "--curl", "is_curl", is_flag=True, help="Print the curl line that sends it, once it has worked."
)
def command(session: Session, app: str, value: str, *, is_batch: bool, is_curl: bool) -> None:
    """Send a query to an application and print the answer."""
    body = _body(session, app, value, is_batch=is_batch)
    base = query_base(session.client().ask(calls.status())["query_url"], session.admin_url)
    query = Query(f"{base}/{segment(app)}/predict", body, session.config.token)
    status, answer = query.send()
    if status >= 400:
        raise _refusal(session, app, status, answer)
    if not is_curl:
        session.output.answer_json(answer)
    elif session.output.is_json:
        session.output.document({"curl": query.curl_line()})
    else:
        session.output.answer(query.curl_line())


def _body(session: Session, app: str, value: str, *, is_batch: bool) -> str | File:
    """Return what is sent: JSON, or a file as it is."""
    is_of_bytes = not is_batch and is_from_file(value) and _takes_bytes(session, app)
    given = read_input(value, is_of_bytes=is_of_bytes)
    if not isinstance(given, File):
        return json.dumps({"input_batch" if is_batch else "input": given})
    if is_batch:
        raise click.UsageError(f"{given.path} is not JSON: --batch takes a list of inputs")
    return given


def _takes_bytes(session: Session, app: str) -> bool:
    applications = session.client().ask(calls.applications())
    types = {item["name"]: item["input_type"] for item in applications}
    return types.get(app) == BYTES


@dataclass(frozen=True, slots=True)
class Query:
    """One query over HTTP, and the line that sends it, which `deploy` prints too."""

    url: str
    body: str | File
    token: str | None

    def send(self, timeout_s: float = _TIMEOUT_S) -> tuple[int, str]:
        """Send it and return the status and the answer.

        Raises:
            ServdError: nothing answers.
        """
        body = self.body
        kind = body.content_type if isinstance(body, File) else "application/json"
        content = body.content if isinstance(body, File) else body.encode()
        headers = {"Content-Type": kind}
        return self._exchange("POST", urlsplit(self.url).path, timeout_s, content, headers)

    def reach(self, timeout_s: float) -> int:
        """Return with which status a request that asks for nothing comes back from there.

        It says that the address and the token are right, and is no query that would be counted.

        Raises:
            ServdError: nothing answers.
        """
        # Not "/", which may be a web application's: this path stays servd's.
        return self._exchange("GET", "/metrics", timeout_s, None, {})[0]

    def _exchange(
        self, method: str, path: str, timeout_s: float, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str]:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(
            parts.hostname or "localhost", parts.port, timeout=timeout_s
        )
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode("utf-8", "replace").rstrip("\n")
        except (OSError, http.client.HTTPException) as error:
            raise ServdError(f"{self.url} does not answer: {error}") from error
        finally:
            connection.close()

    def curl_line(self) -> str:
        """Return the command that sends the same. The token is not in it, but its variable."""
        header = '-H "Authorization: Bearer $SERVD_TOKEN" ' if self.token else ""
        body = self.body
        data = body.curl_argument if isinstance(body, File) else f"-d {shlex.quote(body)}"
        return f"curl {header}{data} {shlex.quote(self.url)}"


def _refusal(session: Session, app: str, status: int, answer: str) -> ServdError:
    applications = {item["name"]: item for item in session.client().ask(calls.applications())}
    if app not in applications:
        return ApplicationNotFoundError(app, applications)
    try:
        problem = json.loads(answer)
    except ValueError:
        problem = {}
    if not isinstance(problem, dict) or not isinstance(problem.get("error"), str):
        message = f"the query was answered with {status}: {answer}"
        return QueryRefusedError(message, hint=_web_hint(applications[app]))
    # The hint says in fewer words what the schema after the cause says.
    cause = str(problem.get("cause", "")).partition(" Expected JSON schema")[0]
    message = f"{problem['error']}: {cause}".rstrip(": \n")
    return QueryRefusedError(message, hint=_hint(session, applications[app], status, cause))


def _web_hint(application: dict[str, Any]) -> str:
    name, url = application["name"], application.get("query_url") or ""
    own = f"{name} is a web application, with paths and bodies of its own: curl {url}"
    return own if url.endswith("/") else ""


def _hint(session: Session, application: dict[str, Any], status: int, cause: str) -> str:
    name, models = application["name"], application["linked_models"]
    if status == 401:
        return "set SERVD_TOKEN to the daemon's token"
    if not models:
        return f"no model answers {name} yet: servd app link {name} MODEL"
    if status in (400, 422):
        takes = application["input_type"]
        return f"{name} takes {takes}; servd model show {models[0]}    says more"
    if status == 504:
        return _late_hint(session, application)
    if status == 503 and ("No connected models" in cause or "is still loading" in cause):
        return _absent_hint(session, models[0])
    return f"servd logs {models[0]}    shows what the model said"


def _late_hint(session: Session, application: dict[str, Any]) -> str:
    """Return what to do where the objective passed, with what the test call took if it is known."""
    rows = [
        row
        for row in session.client().ask(calls.replicas())
        if row["application"] == application["name"]
    ]
    took_ms = max((row.get("test_ms") or 0.0 for row in rows), default=0.0)
    slo_ms = application["slo_us"] / 1000
    tested = f" (its test call took {took_ms:.0f} ms)" if took_ms > slo_ms else ""
    return (
        f"the model took longer than {slo_ms:g} ms{tested}: deploy it again with a longer "
        f"objective: --slo {shown_duration(longer_objective_s(max(took_ms, slo_ms)))}"
    )


def _absent_hint(session: Session, model: str) -> str:
    """Return why no replica of a model answers."""
    client = session.client()
    current = client.ask(calls.model(model))["current_version"]
    if current is None:
        return f"no version of {model} is current: servd rollback {model}"
    rows = [
        r for r in client.ask(calls.replicas()) if (r["model"], r["version"]) == (model, current)
    ]
    if any(row["state"] == "starting" for row in rows):
        return f"{model}:{current} is still loading: servd ps    shows when it is ready"
    if not rows:
        return f"{model}:{current} has no replicas: servd scale {model} 1    starts one"
    return f"servd ps    shows its replicas; servd logs {model}    what they said"
