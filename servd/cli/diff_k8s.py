"""`servd diff-k8s`: what an export would change."""

from servd.cli.export_k8s import place_options
from servd.cli.verb import verb


@verb(
    "diff-k8s",
    body="servd.cli.diff_k8s_body:diff",
    examples=("servd diff-k8s", "servd diff-k8s --helm chart --json | jq .changed"),
)
@place_options
def command() -> None:
    """Show what has changed since the last export; exits with 1 where something has.

    Compares the files of the export with what the same export would write now, with the options it
    was given then. Changes made to the files by hand show, too.
    """
