"""What `servd test` does. Loaded when it is run: what bundles a model comes along."""

import json
import time
from typing import Any

from servd.cli.bundle_options import bundle_options
from servd.cli.deploy_progress import remarks_of, tested
from servd.cli.files import File, read_input
from servd.cli.output import Output
from servd.cli.session import Session
from servd.client.trial import ModelError, Trial, trying
from servd.environments.store import Environments
from servd.packing.environment import Workshop
from servd.packing.targets import parse_target


def test(session: Session, /, target: str, inputs: tuple[str, ...], **flags: Any) -> None:
    """Load a target's model, and tell what it answers."""
    config, output = session.config, session.output
    options, _ = bundle_options(flags, config.load_timeout_s)
    given = [_read(each, is_of_bytes=options.input_type == "bytes") for each in inputs]
    found = parse_target(target)
    began_s = time.monotonic()
    workshop = Workshop(Environments(config.environments_dir), output.working)
    with trying(found, options, workshop, timeout_s=config.load_timeout_s) as trial:
        if line := trial.plan.environment.line:
            output.step("environment", line)
        output.step("bundled", trial.plan.description, (time.monotonic() - began_s) * 1000)
        output.working("loading and testing the model")
        try:
            trial.load()
        finally:
            output.settle()
        warnings = [*trial.plan.remarks, *remarks_of(trial.test)]
        _tell_loaded(trial, output, warnings)
        answers = [_answer(trial, each, output) for each in given]
    if output.is_json:
        output.document(
            {
                "input_type": trial.input_type,
                "signature": trial.signature,
                "load_ms": trial.load_ms,
                "test": trial.test,
                "answers": answers,
                "files": trial.plan.contents,
                "environment": trial.plan.environment.line or None,
                "warnings": warnings,
            }
        )


test.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _read(text: str, *, is_of_bytes: bool) -> Any:
    given = read_input(text, is_of_bytes=is_of_bytes)
    return given.base64 if isinstance(given, File) else given


def _tell_loaded(trial: Trial, output: Output, warnings: list[str]) -> None:
    output.step("loaded", f"{trial.input_type}, {tested(trial.test)}", trial.load_ms)
    for text in warnings:
        output.warning(text)


def _answer(trial: Trial, given: Any, output: Output) -> dict[str, Any]:
    """Call the model with one input and tell its output.

    Raises:
        ModelError: it raised; what it answered before has been told.
    """
    try:
        answer = trial.predict(given)
    except ModelError as error:
        output.failed_step("answered", _json(given))
        error.message = f"{_json(given)}: {error.message}"
        raise
    output.step("answered", f"{_json(given)} → {_json(answer)}", trial.duration_ms)
    return {"input": given, "output": answer, "duration_ms": trial.duration_ms}


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"
