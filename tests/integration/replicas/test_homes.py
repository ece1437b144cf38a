"""Tests of the interpreters that versions run in, with environments that are built for real."""

import asyncio
import shutil
from pathlib import Path

import pytest

from model_runtime.bundle import LOCK_NAME
from model_runtime.manifest import Manifest, write
from servd.datatypes import InputType, ModelVersion
from servd.environments.failures import EnvironmentFailedError
from servd.environments.interpreter import InterpreterError, own
from servd.environments.lock import Lock, compose
from servd.environments.store import Environments
from servd.replicas.homes import Homes, tell_nobody
from tests.environments import make, offline, versions
from tests.wheels import write_wheel

VERSION = ModelVersion(model="m", version="1", input_type=InputType.DOUBLES, bundle="b")


class Heard(list):
    """What was told of a building: lines with the time that it took at last."""

    def __call__(self, line: str, took_ms: float | None = None) -> None:
        """Take a line."""
        self.append((line, took_ms))


def make_bundle(folder: Path, environment: dict[str, str] | None, lock: Lock | None = None) -> Path:
    """Write a bundle whose manifest says this of its environment."""
    (folder / "files").mkdir(parents=True)
    (folder / "files" / "f.py").write_text("def f(x): return x")
    write(
        Manifest(
            loader="python", file="f.py", kind="function", object="f", environment=environment
        ),
        folder,
    )
    if lock is not None:
        (folder / LOCK_NAME).write_text(lock.text)
    return folder


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    """An empty store, and a wheel of `alpha` beside."""
    write_wheel(tmp_path / "wheels", "alpha", "1.0")
    return make(tmp_path, "uv")


@pytest.fixture
def locked(environments: Environments, tmp_path: Path) -> Path:
    """A bundle with a lock of `alpha`."""
    lock = environments.lock(offline(tmp_path / "wheels", "alpha"))
    said = {"python": own().version, "lock": LOCK_NAME}
    return make_bundle(tmp_path / "bundle", said, lock)


def test_a_bundle_that_says_nothing_runs_in_servds_own(
    environments: Environments, tmp_path: Path
) -> None:
    """Nothing is built and nobody told."""
    bundle = make_bundle(tmp_path / "bundle", None)

    async def story() -> None:
        async with Homes(environments) as homes:
            assert (await homes.interpreter(VERSION, bundle)).is_own

    asyncio.run(story())


def test_an_environment_is_built_before_it_is_needed_and_told_of(
    environments: Environments, locked: Path
) -> None:
    """Who deploys hears lines and how long it took; the second time there is nothing to tell."""

    async def story() -> None:
        async with Homes(environments) as homes:
            heard = Heard()

            def look(line: str, took_ms: float | None = None) -> None:
                heard(line, took_ms)
                heard.append(homes.doing(VERSION.id))

            async with homes.kept(VERSION, locked, look) as interpreter:
                assert versions(interpreter.path, "alpha") == {"alpha": "1.0"}
            assert heard[0][0].startswith("building an environment of 1 package")
            assert heard[1].startswith("building its environment: building an")
            assert heard[-2][1] > 0
            assert heard[-1] is None
            again = Heard()
            async with homes.kept(VERSION, locked, again):
                assert again == []

    asyncio.run(story())


def test_it_is_kept_while_it_is_used_and_built_anew_when_it_was_removed(
    environments: Environments, locked: Path
) -> None:
    """Prune leaves it to a deployment; a launch after somebody has deleted it builds it again."""

    async def story() -> None:
        async with Homes(environments) as homes:
            async with homes.kept(VERSION, locked, tell_nobody) as interpreter:
                assert environments.prune(()) == []
            shutil.rmtree(interpreter.prefix)
            heard = Heard()
            async with homes.kept(VERSION, locked, heard) as again:
                assert again.path == interpreter.path
                assert heard != []
            assert len(environments.prune(())) == 1

    asyncio.run(story())


def test_one_that_cannot_be_built_is_told_each_time(
    environments: Environments, tmp_path: Path
) -> None:
    """The error is the builder's, nothing is left, and the next launch tries again."""
    lock = compose(["nosuchthing==1.0"], own().version, options=["--no-index"], wheels={})
    bundle = make_bundle(tmp_path / "bundle", {"python": own().version, "lock": LOCK_NAME}, lock)

    async def story() -> None:
        async with Homes(environments) as homes:
            for _ in range(2):
                with pytest.raises(EnvironmentFailedError, match="nosuchthing"):
                    await homes.interpreter(VERSION, bundle)
                assert homes.doing(VERSION.id) is None

    asyncio.run(story())
    assert environments.list() == []


def test_an_interpreter_that_is_gone_is_named_with_what_to_do(
    environments: Environments, tmp_path: Path
) -> None:
    """The path that was deployed and the version that wants it are in the error."""
    said = {"python": "3.12.1", "interpreter": str(tmp_path / "gone" / "bin" / "python")}
    bundle = make_bundle(tmp_path / "bundle", said)

    async def story() -> None:
        async with Homes(environments) as homes:
            with pytest.raises(InterpreterError, match=f"m:1 .*{tmp_path}/gone") as caught:
                await homes.interpreter(VERSION, bundle)
            assert "--env new" in caught.value.hint

    asyncio.run(story())


def test_the_end_ends_what_is_built_and_leaves_nothing_half(tmp_path: Path) -> None:
    """A daemon that stops during a build waits for its cleaning up, not for the build."""
    lock = compose(["alpha==1.0"], own().version, options=["--no-index"], wheels={})
    bundle = make_bundle(tmp_path / "bundle", {"python": own().version, "lock": LOCK_NAME}, lock)
    uv = tmp_path / "uv"
    uv.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo uv 9.9.9 && exit\necho begun; sleep 600\n'
    )
    uv.chmod(0o755)
    stalled = make(tmp_path, "uv", SERVD_UV=str(uv))

    async def story() -> None:
        begun = asyncio.Event()
        async with Homes(stalled) as homes:

            def hear(line: str, _took_ms: float | None = None) -> None:
                if line == "begun":
                    begun.set()

            async def deploy() -> None:
                async with homes.kept(VERSION, bundle, hear):
                    pass

            deployment = asyncio.create_task(deploy())
            async with asyncio.timeout(20):
                await begun.wait()
        with pytest.raises(EnvironmentFailedError, match="cannot be made"):
            await deployment

    asyncio.run(story())
    built = [each.name for each in (stalled.folder / "built").iterdir()]
    assert built == ["flocks"]
    assert list((stalled.folder / "tools" / "scratch").iterdir()) == []
