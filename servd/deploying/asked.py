"""What a request to deploy may ask for: refused here is what no registry would take.

Pure functions. Used by plan.py and deployer.py.
"""

import re
from typing import Final

from servd.datatypes import ADAPTIVE_BATCH, DOCKER, Batching, DeployRequest, InputType
from servd.errors import InvalidValueError
from servd.registry.limits import check_device, check_limits, check_threads
from servd.registry.variables import check_beside, check_variables

MAX_REPLICAS: Final = 256
_OF_CONTAINERS: Final = ("image", "gpus")
_IMAGE: Final = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9._:/\[\]-]{0,254}(@sha256:[0-9a-f]{64})?")


def check_request(request: DeployRequest) -> None:
    """Refuse values that no registry would take."""
    if request.replicas is not None:
        check_replicas(request.replicas, lowest=1)
    if request.batch_wait_us < 0:
        raise InvalidValueError("the time to wait for a batch must not be below 0")
    check_container(request)
    check_device(request.device, request.gpus)
    check_threads(request.threads)
    check_variables(request.env_vars)
    check_beside(request.env_vars, request.device, request.threads)


def check_replicas(count: int, *, lowest: int = 0) -> None:
    """Raise InvalidValueError unless that is a number of replicas."""
    if not lowest <= count <= MAX_REPLICAS:
        raise InvalidValueError(f"the number of replicas must be {lowest} to {MAX_REPLICAS}")


def check_container(request: DeployRequest) -> None:
    """Raise unless the request says what to run, and asks for no more than its runtime has."""
    if request.bundle is None and request.image is None:
        raise InvalidValueError(
            "there is nothing to run", hint="a deployment needs a bundle or an image"
        )
    asked = [name for name in _OF_CONTAINERS if getattr(request, name) is not None]
    if asked and request.runtime != DOCKER:
        raise InvalidValueError(
            f"--{asked[0]} is for containers, not for processes",
            hint="--device cuda gives processes GPUs" if asked[0] == "gpus" else "--runtime docker",
        )
    if request.image is not None and not _IMAGE.fullmatch(request.image):
        raise InvalidValueError(
            f"'{request.image[:100]}' is not the name of an image",
            hint="a name is [REGISTRY/]NAME[:TAG], as in localhost:5000/iris:1",
        )
    check_limits(request.memory_bytes, request.cpus, request.gpus, request.runtime)


def check_web(request: DeployRequest, kind: str) -> None:
    """Refuse settings of queries for a web application, which is not sent any.

    Raises:
        InvalidValueError: it names the option.
    """
    given = {
        "--slo": request.slo_us is not None,
        "--default": request.default_output is not None,
        "--max-batch": request.max_batch != ADAPTIVE_BATCH,
        "--batching": request.batching is not Batching.AIMD,
        "--batch-wait": request.batch_wait_us != 0,
        "--input-type": request.input_type not in (None, InputType.ANY),
    }
    for name in (name for name, is_given in given.items() if is_given):
        raise InvalidValueError(
            f"{name} is for models, and {request.model} is a web application ({kind.upper()})",
            hint=f"leave {name} out: its requests are passed on as they come, within the limits "
            "that docs/web-applications.md names",
        )
