"""What the options of a bundle say (bundle_flags.py). Used by the bodies of deploy and test."""

import os
from pathlib import Path
from typing import Any

import click

from servd.cli.files import File, read_example
from servd.datatypes import InputType
from servd.packing.bundling import BundleOptions
from servd.packing.choice import options_of
from servd.packing.columns import schema_of_columns, schema_of_file
from servd.packing.parameters import read_parameters
from servd.registry.variables import read_variables


def bundle_options(flags: dict[str, Any], load_timeout_s: float) -> tuple[BundleOptions, Any]:
    """Return what the flags say of a bundle, and the example, which may be a `File`.

    Raises:
        click.UsageError: they contradict each other, or one cannot be read.
    """
    given = flags["input_type"]
    input_type = None if given is None else InputType.parse(given).value
    example = read_example(flags["example"], input_type)
    options = BundleOptions(
        input_type=input_type,
        method=flags["method"],
        example=example.base64 if isinstance(example, File) else example,
        skip_test=flags["skip_test"],
        include=flags["include"],
        schema=_schema(flags["columns"], flags["schema"]),
        extra=flags["extra_columns"],
        output=flags["output"],
        concurrency=flags["concurrency"],
        parameters=read_parameters(flags["param"]),
        load_timeout_s=load_timeout_s,
        variables=read_variables(flags["env_var"], os.environ),
        loader=flags["loader"],
        trust=flags["trust"],
        architecture=flags["class"],
        task=flags["task"],
        environment=options_of(flags["env"], flags["requirements"], flags["python"], os.environ),
    )
    return options, example


def _schema(columns: str | None, file: Path | None) -> dict[str, Any] | None:
    if columns is not None and file is not None:
        raise click.UsageError("--columns and --schema say the same: give one of them")
    if columns is not None:
        return schema_of_columns(columns)
    return None if file is None else schema_of_file(file)
