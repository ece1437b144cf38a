"""`servd test`: a model called as a replica would call it, without a daemon."""

import click

from servd.cli.bundle_flags import of_environment, of_files, of_inputs, of_variables
from servd.cli.verb import verb


@verb(
    "test",
    body="servd.cli.test_body:test",
    examples=(
        "servd test func.py:feature_sum --example '[1.1, 2.2]'",
        "servd test model.pkl '[1, 2, 3]' '[4, 5, 6]'",
    ),
)
@click.argument("target", metavar="TARGET")
@click.argument("inputs", metavar="[JSON|@FILE]...", nargs=-1)
@of_inputs
@of_files
@of_environment
@of_variables
def command() -> None:
    """Load a model as a replica does, make its test call, and call it with further inputs.

    TARGET is what `servd deploy` takes. No daemon is asked, and none is started.
    """
