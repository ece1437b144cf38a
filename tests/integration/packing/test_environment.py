"""From flags and files to an environment that is there; with wheels of a folder, and no index."""

import pickle
from pathlib import Path

import pytest

from servd.environments.failures import EnvironmentFailedError
from servd.environments.store import Environments
from servd.finding.needs import Place
from servd.packing.choice import EnvironmentOptions
from servd.packing.environment import Workshop, settle
from servd.packing.saved_bundle import SavedBundle
from servd.packing.targets import Asked, Made, Target, parse_target
from tests.environments import Told, variables
from tests.wheels import write_wheel


@pytest.fixture
def told():
    """Return what hears how it goes."""
    return Told()


@pytest.fixture
def settled(tmp_path, told):
    """Return what settles the environment of a target of a project."""
    for version in ("1.0", "2.0"):
        write_wheel(tmp_path / "wheels", "alpha", version)
    (tmp_path / "m.py").write_text("import alpha\n\ndef predict(xs):\n    return xs\n")
    found = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels")}
    environ = variables("pip", tmp_path / "home", **found)

    def run(target="m.py", **options):
        made = Environments(tmp_path / "environments", environ)
        target = parse_target(str(tmp_path / target)) if isinstance(target, str) else target
        workshop = Workshop(made, told, environ)
        place = Place(cwd=tmp_path)
        return settle(target, EnvironmentOptions(**options), place, Asked(), workshop)

    return run


def test_a_new_environment_is_locked_built_and_named(settled, told, tmp_path):
    """The manifest has the lock, and whoever waits hears how it goes."""
    (tmp_path / "needs.txt").write_text("alpha<2\n")
    found = settled(requirements=tmp_path / "needs.txt")
    assert found.interpreter.version_of("alpha") == "1.0"
    assert found.told == {"python": found.interpreter.version, "lock": "environment.lock"}
    assert found.lock.pins == {"alpha": "1.0"}
    python = found.interpreter.version
    assert found.line == f"new, of needs.txt (Python {python}, 1 package)"
    assert told.count_of("resolving 1 requirement") == 1
    assert told.count_of("built the environment") == 1


def test_what_is_inferred_is_said(settled):
    """So that it can be put into a file, and changed."""
    found = settled(env="auto")
    assert found.line.startswith("new, inferred from its imports (Python ")
    assert found.remarks == ("requirements were inferred: alpha",)
    assert found.interpreter.version_of("alpha") == "2.0"


def test_what_cannot_be_had_is_told_with_another_way(settled, tmp_path):
    """In the resolver's own words, with what was asked for and what to do instead."""
    (tmp_path / "m.py").write_text("import no_such_thing_anywhere\n")
    with pytest.raises(EnvironmentFailedError) as inferred:
        settled(env="auto")
    assert "no-such-thing-anywhere" in inferred.value.hint + inferred.value.message
    assert "--requirements FILE says others" in inferred.value.hint
    (tmp_path / "requirements.txt").write_text("alpha==9\n")
    with pytest.raises(EnvironmentFailedError) as default:
        settled()
    assert "--env shared runs the model without what requirements.txt asks for" in (
        default.value.hint
    )


def test_what_a_running_program_hands_over_is_for_that_program(settled, tmp_path):
    """Whatever lies beside its file: it was made by this interpreter, and its libraries."""
    (tmp_path / "requirements.txt").write_text("alpha==9\n")
    content = tmp_path / "object.pkl"
    content.write_bytes(pickle.dumps(len))
    made = Made(content=content, kind="function", name="f", modules=(), loaded={})
    found = settled(Target(tmp_path / "f.pkl", "f", made))
    assert (found.told, found.line, found.remarks) == (None, "", ())


def test_a_service_of_bentomls_does_not_ask_for_an_environment_by_itself(settled, tmp_path):
    """Its list has BentoML, which servd stands in for, in versions of years ago."""
    (tmp_path / "requirements.txt").write_text("bentoml==0.13.1\nalpha==1.0\n")
    bundle = SavedBundle.__new__(SavedBundle)
    target = Target(Path(tmp_path / "m.py"), "predict", bento=bundle)
    assert settled(target).told is None
    assert settled(target, env="new").lock.pins == {"alpha": "1.0"}
