"""`servd predict`: one query, as any client would send it."""

import http.client
import json
import shlex
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click

from servd.cli.command import verb
from servd.cli.session import Session, pass_session
from servd.client import Address, parse_address, segment
from servd.config import is_loopback
from servd.errors import ApplicationNotFoundError, ServdError

_TIMEOUT_S: Final = 120.0


class QueryRefusedError(ServdError):
    """A query that was answered with an error."""

    code = "query_refused"


@verb(
    "predict",
    examples=(
        "servd predict feature_sum '[1.1, 2.2, 3.3]'",
        "servd predict iris @rows.json --batch",
    ),
)
@click.argument("app")
@click.argument("value", metavar="JSON|@FILE|-")
@click.option("--batch", "is_batch", is_flag=True, help="JSON is a list of inputs.")
@click.option("--curl", "is_curl", is_flag=True, help="Print the curl line, send nothing.")
@pass_session
def command(session: Session, app: str, value: str, *, is_batch: bool, is_curl: bool) -> None:
    """Send a query to an application and print the answer."""
    body = json.dumps({"input_batch" if is_batch else "input": read_json(value)})
    base = query_base(session.client().get("/status")["query_url"], session.admin_url)
    url = f"{base}/{segment(app)}/predict"
    if is_curl:
        line = curl_line(url, body)
        if session.output.is_json:
            session.output.document({"curl": line})
        else:
            session.output.answer(line)
        return
    status, answer = _post(url, body, session.config.token)
    if status >= 400:
        raise _refusal(session, app, status, answer)
    session.output.answer(answer)


def query_base(url: str, admin_url: str | None) -> str:
    """Return where queries go: the daemon says, but of another machine's loopback is none here."""
    address = parse_address(admin_url) if admin_url else Address()
    parts = urlsplit(url)
    if address.path is not None or is_loopback(address.host):
        return url
    if not is_loopback(parts.hostname or ""):
        return url
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{parts.scheme}://{host}:{parts.port}"


def read_json(value: str) -> Any:
    """Return the JSON value of an argument: itself, `@file`, or `-` for stdin.

    Raises:
        click.UsageError: it is not JSON, or the file cannot be read.
    """
    context = click.get_current_context()
    try:
        if value == "-":
            return json.load(sys.stdin)
        if value.startswith("@"):
            return json.loads(Path(value[1:]).read_bytes())
        return json.loads(value)
    except OSError as error:
        raise click.UsageError(f"{value[1:]}: {error.strerror}", context) from error
    except ValueError as error:
        raise click.UsageError(f"the input is not JSON: {error}", context) from error


def curl_line(url: str, body: str) -> str:
    """Return the command that sends the same query."""
    return f"curl -d {shlex.quote(body)} {shlex.quote(url)}"


def _post(url: str, body: str, token: str | None) -> tuple[int, str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "localhost", parts.port, timeout=_TIMEOUT_S
    )
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request("POST", parts.path, body.encode(), headers)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace").rstrip("\n")
    except (OSError, http.client.HTTPException) as error:
        raise ServdError(f"{url} does not answer: {error}") from error
    finally:
        connection.close()


def _refusal(session: Session, app: str, status: int, answer: str) -> ServdError:
    applications = {item["name"]: item for item in session.client().get("/applications")}
    if app not in applications:
        return ApplicationNotFoundError(app, applications)
    try:
        problem = json.loads(answer)
    except ValueError:
        problem = {}
    if not isinstance(problem, dict) or not isinstance(problem.get("error"), str):
        return QueryRefusedError(f"the query was answered with {status}: {answer}")
    # The hint says in fewer words what the schema after the cause says.
    cause = str(problem.get("cause", "")).partition(" Expected JSON schema")[0]
    message = f"{problem['error']}: {cause}".rstrip(": \n")
    return QueryRefusedError(message, hint=_hint(applications[app], status, cause))


def _hint(application: dict[str, Any], status: int, cause: str) -> str:
    name, models = application["name"], application["linked_models"]
    if not models:
        return f"no model answers {name} yet: servd app link {name} MODEL"
    if status == 400:
        return f"{name} takes {application['input_type']}; servd app show {name}    says more"
    if cause.startswith("No connected models"):
        return f"servd ps    shows its replicas; servd scale {models[0]} 1    starts one"
    return f"servd logs {models[0]}    shows what the model said"
