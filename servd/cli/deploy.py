"""`servd deploy`: from a file to an application that answers."""

import click

from servd.cli.bundle_flags import of_environment, of_files, of_inputs, of_variables
from servd.cli.values import BATCH_SIZE, DURATION, OBJECTIVE, POSITIVE, SIZE
from servd.cli.verb import option, verb


@verb(
    "deploy",
    body="servd.cli.deploy_body:deploy",
    examples=(
        "servd deploy func.py:feature_sum --input-type doubles --default -1.0",
        "servd deploy model.pkl --runtime docker --memory 2g --replicas 2",
    ),
)
@click.argument("target", metavar="TARGET", required=False)
@click.option("--name", help="The model's name.  [default: that of the object or file]")
@click.option("--version", help="Its version.  [default: the next whole number]")
@click.option("--app", help="The application's name.  [default: the model's]")
@click.option("--no-app", is_flag=True, help="Make no application.")
@of_inputs
@option("--default", "OUTPUT", "Answer where none comes in time.", name="default_output")
@option(
    "--slo",
    "DURATION",
    "Longest time for an answer, as 100ms or 2s (2 is 2s); later ones get --default or 504.  "
    "[default: 100ms, or more]",
    name="slo_us",
    type=OBJECTIVE,
)
@click.option("--no-cache", is_flag=True, help="Ask the model again for what it has answered.")
@option("--replicas", "N", "Copies of the model.  [default: 1]", type=POSITIVE)
@option(
    "--max-batch",
    "N",
    "Most inputs in one call.  [default: adaptive]",
    type=BATCH_SIZE,
    default="adaptive",
)
@option(
    "--batching",
    "HOW",
    "How it adapts: aimd, quantile.  [default: aimd]",
    type=click.Choice(["aimd", "quantile"]),
    default="aimd",
)
@option(
    "--batch-wait",
    "DURATION",
    "Time a batch waits to fill.  [default: 0s]",
    name="batch_wait_s",
    type=DURATION,
    default="0s",
)
@of_files
@of_environment
@option(
    "--runtime",
    "HOW",
    "process, docker.  [default: process, docker with --image]",
    type=click.Choice(["process", "docker"]),
)
@option(
    "--image",
    "REF",
    "Run TARGET in this image; without TARGET, an image that is a replica by itself.",
)
@option("--memory", "SIZE", "Most memory of a replica, as in 2g.", name="memory_bytes", type=SIZE)
@option("--cpus", "N", "Most processors of a replica, as in 1.5.", type=float)
@option("--threads", "N", "Threads of numeric libraries.  [default: --cpus, or 1]", type=POSITIVE)
@option("--device", "WHERE", "cpu, cuda (one GPU a replica in turn), cuda:N, auto.")
@option("--gpus", "WHICH", "all, a number, device=0,1; Docker.")
@of_variables
@click.option("--no-wait", is_flag=True, help="Do not wait until it is live.")
@click.option("--no-start", is_flag=True, help="Do not start a daemon if none runs.")
def command() -> None:
    """Deploy a function, a class, a file or folder of a model, or a web application (ASGI, WSGI).

    TARGET is file.py:name, file.py with one function, class or web application, a saved service of
    BentoML (PATH[:api]), or a model as its library saves it: a pickle, joblib, skops, ONNX,
    xgboost, lightgbm, catboost, PMML, PyTorch, Keras, MLflow, Hugging Face. What a file is its
    content says, whatever it is called (docs/formats.md).
    """
