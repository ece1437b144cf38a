"""`servd build`: a Docker image of a model version, an application, or the front end."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from servd.cli.additions import addition_options, take_additions, tell_packages
from servd.cli.command import verb
from servd.cli.session import Session, pass_session
from servd.cli.values import WholeNumber

if TYPE_CHECKING:
    from servd.imaging.naming import Kind
    from servd.imaging.spec import ImageSpec


@verb(
    "build",
    examples=(
        "servd build iris                       # docker run -p 5000:5000 iris-standalone:1",
        "servd build iris:1 --registry localhost:5000 --push",
    ),
)
@click.argument("target", metavar="[MODEL[:VERSION]|APP]", required=False)
@click.option(
    "--kind",
    type=click.Choice(["replica", "standalone", "frontend"]),
    metavar="KIND",
    help="replica, standalone, frontend.  [default: standalone for APP, replica for MODEL:VERSION]",
)
@click.option("--tag", metavar="NAME[:TAG]", help="The image's name.  [default: after its content]")
@click.option("--registry", metavar="HOST[:PORT][/PATH]", help="What comes before the name.")
@click.option(
    "--base-image",
    metavar="IMAGE",
    help="What it is built on.  [env: SERVD_BASE_IMAGE; default: python:X.Y-slim]",
)
@click.option("--platform", metavar="OS/ARCH", help="For another machine, as linux/arm64.")
@click.option(
    "--threads",
    type=WholeNumber(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Threads of numeric libraries.",
)
@addition_options
@click.option("--push", is_flag=True, help="Push it to its registry.")
@click.option(
    "--context-only",
    "context",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write what it is built from, and build nothing.",
)
@click.option("--force", is_flag=True, help="Write the context among files of other origin.")
@pass_session
def command(session: Session, /, target: str | None, context: Path | None, **flags: Any) -> None:
    """Build an image, run it, and give it its name once it has answered its test call.

    An application becomes a standalone image: the query API on port 5000 with the model inside. A
    version becomes a replica image, to which front ends connect. --kind frontend needs no TARGET.
    """
    if context is not None and flags["push"]:
        raise _usage("--push and --context-only contradict each other")
    with _specification(session, target, flags) as spec:
        if flags["push"] and "/" not in spec.tag:
            raise _usage(f"--push needs a registry, and {spec.tag} names none: --registry")
        if context is not None:
            _write_context(session, spec, context, is_forced=flags["force"])
        else:
            _build(session, spec, is_pushed=flags["push"])


def _build(session: Session, spec: "ImageSpec", *, is_pushed: bool) -> None:
    from servd.cli.build_progress import BuildProgress  # noqa: PLC0415 - help does without
    from servd.system.docker_client import connect  # noqa: PLC0415

    client = connect()
    from servd.imaging.builder import Builder  # noqa: PLC0415 - needs the SDK that connect wants
    from servd.imaging.context import packages_of  # noqa: PLC0415

    progress = BuildProgress(session.output, spec)
    progress.on_packages(tell_packages(session.output, [packages_of(spec)]))
    limit_s = session.config.load_timeout_s + session.config.test_timeout_s
    builder = Builder(client, trial_s=limit_s)
    try:
        builder.build(spec, progress)
        for name in (*spec.also, spec.tag) if is_pushed else ():
            progress.on_pushed(name, builder.push(name, progress))
    finally:
        session.output.settle()
        client.close()
    progress.finish(_example(spec))


def _write_context(session: Session, spec: "ImageSpec", folder: Path, *, is_forced: bool) -> None:
    from servd.cli.build_progress import BuildProgress  # noqa: PLC0415 - help does without
    from servd.imaging.context import clear, packages_of, write_context  # noqa: PLC0415

    clear(folder, is_forced=is_forced)
    write_context(spec, folder)
    progress = BuildProgress(session.output, spec)
    progress.on_packages(tell_packages(session.output, [packages_of(spec)]))
    progress.on_context(str(folder))
    progress.finish(None)


@contextmanager
def _specification(
    session: Session, target: str | None, flags: dict[str, Any]
) -> "Iterator[ImageSpec]":
    """Yield what to build, with its bundle at hand."""
    from servd.imaging.spec import ImageSpec, default_base_image  # noqa: PLC0415

    kind: Kind | None = flags["kind"]
    base = flags["base_image"] or session.config.base_image
    common = {
        "platform": flags["platform"],
        "threads": flags["threads"],
        "additions": take_additions(flags, session.config),
    }
    if kind == "frontend":
        if target is not None:
            raise _usage("a front end is of no model: leave TARGET out")
        base = base or default_base_image(".".join(map(str, sys.version_info[:2])))
        yield _named(ImageSpec(kind=kind, tag="", base_image=base, **common), flags)
        return
    if target is None:
        raise _usage("name a MODEL[:VERSION] or an APP, or say --kind frontend")
    from servd.cli.build_target import choose  # noqa: PLC0415
    from servd.cli.bundle_source import BundleSource  # noqa: PLC0415
    from servd.client.registry_reader import read_registry  # noqa: PLC0415

    chosen = choose(read_registry(session.config, session.admin_url), target, kind)
    bundles = BundleSource(session.config.bundles_dir, session.client())
    with bundles.bundle(chosen.version) as bundle:
        spec = ImageSpec(
            kind=chosen.kind,
            tag="",
            base_image=flags["base_image"]
            or chosen.version.image  # what its files were mounted into has what they need
            or base
            or default_base_image(_python_of(bundle)),
            version=chosen.version,
            applications=chosen.applications if chosen.kind == "standalone" else (),
            bundle_dir=bundle,
            **common,
        )
        yield _named(spec, flags)


def _named(spec: "ImageSpec", flags: dict[str, Any]) -> "ImageSpec":
    """Return the specification with its name; by default also with the one that exports want."""
    from servd.imaging.context import content_of  # noqa: PLC0415 - help does without
    from servd.imaging.naming import checked_registry, checked_tag, image_name  # noqa: PLC0415

    registry, tag = flags["registry"], flags["tag"]
    if tag is None:
        version = spec.version.id if spec.version else None
        lasting = image_name(spec.kind, version, registry, content_of(spec))
        return replace(spec, tag=image_name(spec.kind, version, registry), also=(lasting,))
    prefix = f"{checked_registry(registry)}/" if registry else ""
    return replace(spec, tag=checked_tag(f"{prefix}{tag.removeprefix(prefix)}"))


def _python_of(bundle: Path | None) -> str:
    from model_runtime import manifest  # noqa: PLC0415 - help does without

    return manifest.read(bundle).python if bundle else ""


def _example(spec: "ImageSpec") -> Any:
    """Return the input that the model's owner gave as an example; None where there is none."""
    from model_runtime import manifest  # noqa: PLC0415 - help does without

    return manifest.read(spec.bundle_dir).example if spec.bundle_dir else None


def _usage(message: str) -> click.UsageError:
    return click.UsageError(message, click.get_current_context())
