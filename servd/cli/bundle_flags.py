"""The options that say what is in a bundle. Used by `servd deploy` and `servd test`."""

from typing import Final

import click

from servd.cli.values import FILE, POSITIVE
from servd.cli.verb import option, together

of_inputs: Final = together(
    option("--input-type", "TYPE", "rows, integers, floats, doubles, strings, bytes, any."),
    option("--columns", "LIST", "What an input has, as in 'age:int,city:str,income:float?'."),
    option("--schema", "FILE", "The same as the JSON Schema of one input.", type=FILE),
    option(
        "--extra-columns",
        "HOW",
        "Columns that the model does not know: refuse, ignore.  [default: refuse]",
        type=click.Choice(["refuse", "ignore"]),
    ),
    option(
        "--output",
        "WHAT",
        "Of a classifier: labels, proba, both.  [default: labels]",
        type=click.Choice(["labels", "proba", "both"]),
    ),
    option(
        "--concurrency",
        "N",
        "Of a model that yields: streams at once of a replica.  [default: 256]",
        type=POSITIVE,
    ),
)
"""Decorates a verb with what is said of inputs and outputs."""

of_files: Final = together(
    click.option("--method", help="Method of the class or model.  [default: predict]"),
    option("--loader", "NAME", "Format of a file that may be of several, as in onnx, pickle."),
    option("--trust", "TYPE", "A type in a skops file; may be repeated, or all.", multiple=True),
    option("--class", "FILE:NAME", "What weights are put into, as in net.py:Net."),
    option("--task", "NAME", "Use of a pipeline's folder, as in text-classification."),
    option(
        "--param",
        "NAME=VALUE:TYPE",
        "What a class is made with; may be repeated.  [types: INT, FLOAT, STRING, BOOL, JSON]",
        multiple=True,
    ),
    option("--example", "JSON|@FILE", "One input, for the test call."),
    click.option("--skip-test", is_flag=True, help="Do not make the test call."),
    option("--include", "GLOB", "Further files; may be repeated.", multiple=True),
)
"""Decorates a verb with what is said of files and of the test call."""

of_environment: Final = together(
    option(
        "--env",
        "WHICH",
        "shared (servd's own), auto (inferred), new, venv:PATH.  [env: SERVD_ENV; default: the "
        "active one]",
    ),
    option(
        "--requirements",
        "FILE",
        "What a new environment has.  [env: SERVD_ENV_REQUIREMENTS]",
    ),
    option("--python", "PATH|3.12", "Of which Python it is.  [env: SERVD_PYTHON]"),
)
"""Decorates a verb with what is said of the environment of a model."""

of_variables: Final = option(
    "--env-var",
    "NAME[=VALUE]",
    "A variable of the model's, kept secret; without VALUE that of this shell.  May be repeated.",
    multiple=True,
)
"""Decorates a verb with what the model's environment has."""
