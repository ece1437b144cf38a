"""`servd serve-one`: the query API on one port with one model inside, without a daemon."""

from pathlib import Path

import click

from servd.cli.settings import cors, show_errors
from servd.cli.values import OBJECTIVE, POSITIVE, SIZE
from servd.cli.verb import option, verb


@verb(
    "serve-one",
    body="servd.cli.serve_one_body:serve",
    examples=(
        "servd serve-one --bundle ~/.local/share/servd/bundles/DIGEST --app iris",
        "docker run -p 5000:5000 iris-standalone:1 --slo 200ms --replicas 2",
    ),
)
@option(
    "--bundle",
    "DIR",
    "The folder of a bundle, which holds model.json.",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@option(
    "--applications",
    "FILE",
    "What servd build wrote: the version and its applications.",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--name", help="The model's name.  [default: model]")
@click.option("--app", help="The application's name.  [default: the model's]")
@option("--input-type", "TYPE", "rows, integers, floats, doubles, strings, bytes, any.")
@option("--default", "OUTPUT", "Answer where none comes in time.", name="default_output")
@option(
    "--slo", "DURATION", "Time to answer within.  [default: 100ms]", name="slo_us", type=OBJECTIVE
)
@option("--replicas", "N", "Copies of the model.  [default: 1]", type=POSITIVE)
@option("--memory", "SIZE", "Most memory of a replica, as in 2g.", name="memory_bytes", type=SIZE)
@option("--cpus", "N", "Most processors of a replica, as in 1.5.", type=float)
@option("--threads", "N", "Threads of numeric libraries.", type=POSITIVE)
@option("--device", "WHERE", "cpu, cuda (one GPU a replica in turn), cuda:N, auto.")
@option("--port", "PORT", "0: a free one.", default="5000", show_default=True)
@click.option("--bind", metavar="ADDRESS", default="0.0.0.0", show_default=True)  # noqa: S104
@option(
    "--expect-bundle",
    "DIGEST",
    "Refuse to serve other files.  [env: SERVD_EXPECT_BUNDLE]",
    name="expected",
    envvar="SERVD_EXPECT_BUNDLE",
)
@show_errors
@cors
@option("--drain", "DURATION", "Time for running queries at a stop.")
@option("--log-level", "LEVEL", "debug, info, warning or error.")
def command() -> None:
    """Serve one model's bundle: /NAME/predict and /predict, /healthz, /readyz and /metrics.

    Queries must carry the token in SERVD_TOKEN where that is set; else anybody may send them.
    """
