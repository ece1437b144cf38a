"""Services as a script makes them: what they take, what they refuse, and in which words."""

import importlib
import pickle
import threading

import pytest

from servd.bento import BentoService, api, artifacts, env, load, save, ver
from servd.bento.adapters import ClipperIntsInput, DataframeInput, JsonInput
from servd.bento.artifact import (
    JSONArtifact,
    PickleArtifact,
    SklearnModelArtifact,
    TextFileArtifact,
)
from servd.bento.clipper import deploy_bentoml, get_clipper_compatible_string
from servd.bento.exceptions import (
    ArtifactLoadingException,
    BentoMLConfigException,
    BentoMLException,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from servd.bento.handlers import JsonHandler
from servd.bento.saved_bundle import load_bento_service_api
from tests.bentos import fitted, old_bundle, write_description


@artifacts([PickleArtifact("model")])
class Doubler(BentoService):
    """Doubles what it is given."""

    @api(input=JsonInput())
    def double(self, value):
        """Double one number."""
        return value * self.artifacts.model

    @api(JsonHandler, batch=True)
    def listed(self, values):
        """Double several."""
        return [self.double(value) for value in values]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return where bundles are kept."""
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_service_is_called_saved_and_loaded(home):
    """The path has its name and its version; what is loaded answers as before."""
    service = Doubler().pack("model", 2)
    assert service.double(3) == 6
    path = service.save()
    assert path == str(home / "repository" / "Doubler" / service.version)
    loaded = load(path)
    assert (loaded.listed([1, 2]), loaded.tag) == ([2, 4], f"Doubler:{service.version}")
    assert load_bento_service_api(path, "double").user_func(4) == 8
    # The program's own class holds nothing of what was loaded.
    with pytest.raises(FailedPrecondition, match=r"svc\.pack\('model', …\) gives it one"):
        _ = Doubler().artifacts.model


def test_the_layout_is_that_of_0_13(tmp_path, monkeypatch):
    """Code and artifacts in a package of the service's name, what describes them beside it."""
    folder = tmp_path / "saved"
    folder.mkdir()
    (tmp_path / "plain_service.py").write_text(
        "from servd.bento import BentoService, artifacts\n"
        "from servd.bento.artifact import PickleArtifact\n"
        "@artifacts([PickleArtifact('model')])\n"
        "class Plain(BentoService):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    plain_service = importlib.import_module("plain_service")
    plain_service.Plain().pack("model", 2).save_to_dir(folder, version="1.0")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {
        *("bentoml.yml", "README.md", "requirements.txt", "environment.yml", "setup.py"),
        *("MANIFEST.in", "docs.json", "python_version", "Plain/__init__.py", "Plain/bentoml.yml"),
        *("Plain/plain_service.py", "Plain/artifacts/model.pkl"),
    }
    assert "service_version: '1.0'" in (folder / "bentoml.yml").read_text()
    with pytest.raises(BentoMLException, match="there is a bundle of Plain"):
        plain_service.Plain().pack("model", 2).save_to_dir(folder)


def test_versions_are_new_given_or_numbered(home):
    """As scripts know them: of the time, with a number before them, never twice."""
    service = ver(major=1, minor=4)(type("Numbered", (Doubler,), {}))()
    assert service.set_version("2019-08.iteration20") == "1.4.2019-08.iteration20"
    for wrong in ("latest", "a/b", "", ".."):
        with pytest.raises(InvalidArgument, match="is none"):
            Doubler().set_version(wrong)
    first = Doubler().pack("model", 2).save(version="v1", labels={"team": "x"})
    assert first.endswith("Doubler/v1")
    with pytest.raises(BentoMLException, match="a bundle of Doubler:v1 already"):
        save(Doubler().pack("model", 2), version="v1")
    assert [path.name for path in (home / "repository" / "Doubler").iterdir()] == ["v1"]


def test_artifacts_of_each_kind_come_back(home):
    """Models, JSON, texts, each with what was given beside it."""
    kinds = [SklearnModelArtifact("model"), JSONArtifact("facts"), TextFileArtifact("text")]
    service = artifacts(kinds)(Doubler)()
    del Doubler._declared_artifacts
    artifacts([PickleArtifact("model")])(Doubler)
    service.pack("model", fitted(), metadata={"accuracy": 0.9})
    service.pack("facts", {"a": [1]}).pack("text", "ü")
    path = service.save()
    assert service.artifacts["model"].metadata == {"accuracy": 0.9}
    folder = home.joinpath("repository", *path.split("/")[-2:], "Doubler", "artifacts")
    assert {each.name for each in folder.iterdir()} == {"model.pkl", "facts.json", "text.txt"}
    assert (folder / "text.txt").read_text("utf-8") == "ü"


def test_what_is_not_packed_is_not_saved(home):
    """The error says which artifacts, and how they get a value; nothing is left behind."""
    with pytest.raises(
        FailedPrecondition, match=r"the artifact 'model' has no value yet: svc\.pack"
    ):
        Doubler().save()
    with pytest.raises(InvalidArgument, match=r"no artifact 'modle': did you mean 'model'\?"):
        Doubler().pack("modle", 2)
    with pytest.raises(AttributeError, match="Doubler has no artifact 'other': it has: model"):
        _ = Doubler().artifacts.other
    assert not (home / "repository" / "Doubler").exists() or not any(
        (home / "repository" / "Doubler").iterdir()
    )


def test_what_cannot_be_written_is_named_with_the_path_to_it(home):
    """A lock in an object in a list."""
    held = [{"lock": threading.Lock()}]
    with pytest.raises(BentoMLException, match=r"the artifact 'model' holds `.*lock.*`, a lock"):
        Doubler().pack("model", held).save()
    assert not any((home / "repository" / "Doubler").iterdir())


def test_two_apis_of_one_name_are_refused_where_they_are_defined():
    """The second would hide the first, whether its name is given or is that of its method."""
    with pytest.raises(InvalidArgument, match="Twice has two APIs of the name 'predict'"):

        class Twice(BentoService):
            @api(input=JsonInput())
            def predict(self, value):
                return value

            @api(input=JsonInput())  # type: ignore[no-redef]
            def predict(self, value):  # noqa: F811 - what is tried
                return value

    with pytest.raises(InvalidArgument, match="two APIs of the name 'one'"):

        class Named(BentoService):
            @api(input=JsonInput(), api_name="one")
            def first(self, value):
                return value

            @api(input=JsonInput(), api_name="one")
            def second(self, value):
                return value

    class Base(BentoService):
        @api(input=JsonInput(), api_name="one")
        def first(self, value):
            return value

    class Below(Base):
        @api(input=JsonInput(), api_name="one")
        def second(self, value):
            return value

    with pytest.raises(InvalidArgument, match="Below has two APIs of the name 'one'"):
        Below()


def test_what_a_decorator_cannot_take_is_said():
    """Artifacts that are none, or twice; inputs that are none; packages that are no list."""
    with pytest.raises(InvalidArgument, match="takes a list"):
        artifacts(PickleArtifact("model"))
    with pytest.raises(InvalidArgument, match="two of the name 'model'"):
        artifacts([PickleArtifact("model"), JSONArtifact("model")])
    with pytest.raises(InvalidArgument, match="has artifacts, not 'model'"):
        artifacts(["model"])
    with pytest.raises(InvalidArgument, match=r"as in @api\(input=JsonInput\(\)\)"):
        api(input="json")
    with pytest.raises(InvalidArgument, match="is reserved"):
        api(input=JsonInput(), api_name="metrics")(lambda value: value)
    with pytest.raises(InvalidArgument, match="is a list of texts"):
        env(pip_packages="numpy")
    with pytest.raises(InvalidArgument, match="one of records"):
        DataframeInput(orient="rows")


def test_a_bundle_is_refused_with_what_is_wrong_with_it(tmp_path):
    """No description, two APIs of one name, an artifact that is missing or damaged."""
    with pytest.raises(BentoMLConfigException, match=r"it has no bentoml\.yml"):
        load(tmp_path)
    bundle = old_bundle(tmp_path / "OldIris")
    one = {"name": "predict", "input_type": "JsonInput"}
    write_description(bundle, apis=[one, one])
    with pytest.raises(BentoMLConfigException, match="two APIs of the name 'predict'"):
        load(bundle)
    write_description(bundle)
    model = bundle / "OldIris" / "artifacts" / "model.pkl"
    model.write_bytes(pickle.dumps(fitted())[:40])
    with pytest.raises(ArtifactLoadingException, match=r"saved by Python 3\.7\.5, this is"):
        load(bundle)
    model.unlink()
    with pytest.raises(ArtifactLoadingException, match="'model' is not in the bundle"):
        load(bundle)


def test_an_api_that_is_not_there_is_told_with_those_that_are():
    """By its name, or where there is none at all."""
    with pytest.raises(NotFound, match="has no API 'x', it has: double, listed"):
        Doubler().get_inference_api("x")
    with pytest.raises(NotFound, match="BentoService has no API"):
        BentoService().get_inference_api()


class _Unconnected:
    connected = False


class _Connected:
    connected = True


def test_a_cluster_is_deployed_to_by_clippers_rules(tmp_path):
    """Connected, with one of its inputs, under names that it takes."""
    bundle = old_bundle(tmp_path / "OldIris")
    with pytest.raises(BentoMLException, match="No connection to Clipper cluster"):
        deploy_bentoml(_Unconnected(), bundle, "predict_clipper")
    with pytest.raises(BentoMLException, match="Can't find API 'x' in BentoService bundle OldIris"):
        deploy_bentoml(_Connected(), bundle, "x")
    with pytest.raises(BentoMLException, match="Only BentoService APIs using ClipperInput can be"):
        deploy_bentoml(_Connected(), bundle, "predict")
    assert get_clipper_compatible_string("My_Service-a.B") == "my-service-a-b"
    assert ClipperIntsInput.input_type == "integers"
