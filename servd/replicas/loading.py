"""Waiting for a replica's first load, and telling of it. Used by the supervisor."""

from collections.abc import Callable
from typing import Any

from model_runtime.signature import Signature, SignatureError, parse
from servd.datatypes import DeployEvent
from servd.errors import ServdError
from servd.logs.log import log
from servd.replicas.replica import Replica


def selftest_of(info: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a replica says of its test call, or None where it says nothing."""
    told = info.get("test")
    return told if isinstance(told, dict) and isinstance(told.get("state"), str) else None


def signature_of(info: dict[str, Any]) -> Signature | None:
    """Return what a replica says of its inputs and outputs, or None where it says nothing."""
    told = info.get("signature")
    if told is None:
        return None
    try:
        return parse(told)
    except SignatureError as error:  # of an image that somebody else has made
        log.warning("what a replica says of its inputs is not understood: %s", error)
        return None


def call_ms_of(info: dict[str, Any]) -> float | None:
    """Return how long one call of the model took when it was tested, where the replica says it."""
    took = (selftest_of(info) or {}).get("call_ms")
    return float(took) if isinstance(took, int | float) else None


Report = Callable[[DeployEvent], None]
"""Who is told of a deployment's progress."""


async def await_loaded(replica: Replica, report: Report | None, *, fail_fast: bool) -> None:
    """Return when it is ready, or, unless `fail_fast`, when its first load has failed."""
    try:
        await replica.loaded()
    except ServdError:
        if fail_fast:
            raise
        return
    if report is not None:
        report(
            DeployEvent(
                event="loaded",
                model=replica.spec.version.model,
                version=replica.spec.version.version,
                replica=replica.spec.replica,
                pid=replica.pid,
                duration_ms=round(replica.load_s * 1000, 1),
                test=selftest_of(replica.info),
                device=replica.device,
                limits=replica.limits,
            )
        )
