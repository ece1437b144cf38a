"""Objects as files: names, texts that kubectl reads as they were meant, kustomizations."""

import pytest
import yaml

from k8s_adapter.identity import Object
from k8s_adapter.render import render_directory, render_kustomize, render_single_file, to_yaml
from tests.k8s_finding import container


def by_name(objects: list[Object]) -> dict[tuple[str, str], Object]:
    """Return objects by kind and name."""
    return {(found["kind"], found["metadata"]["name"]): found for found in objects}


def test_every_object_has_a_file_of_its_own(objects: list[Object]):
    """A directory has a file an object, which reads as that object."""
    files = render_directory(objects)
    assert len(files) == len(objects)
    read = [yaml.safe_load(text) for text in files.values()]
    assert by_name(read) == by_name(objects)


def test_the_namespace_is_applied_first(objects: list[Object]):
    """`kubectl apply -f DIR` goes by name, and the Namespace's file is the first."""
    assert min(render_directory(objects)) == "00-namespace.yaml"


def test_what_pods_need_is_applied_before_them(objects: list[Object]):
    """Accounts, keys, the registry and the policies are there when the first pod is made."""
    files = list(render_directory(objects))
    kinds = [yaml.safe_load(text)["kind"] for text in render_directory(objects).values()]
    assert files == sorted(files)
    first_pod = kinds.index("Deployment")
    early = {"Namespace", "ServiceAccount", "Secret", "ConfigMap", "NetworkPolicy"}
    assert set(kinds[:first_pod]) == early
    assert not early & set(kinds[first_pod:])


def test_a_single_file_holds_all(objects: list[Object]):
    """A single file holds the same objects in the order in which they can be applied."""
    assert list(yaml.safe_load_all(render_single_file(objects))) == objects


@pytest.mark.parametrize(
    "text", ["1e3", "y", "N", "yes", "on", "null", "1.10", "0x1", "~", "", "-"]
)
def test_texts_stay_texts(text: str):
    """A version called 1e3 or a model called y is a text to every YAML parser."""
    written = to_yaml({"a": text})
    assert written.rstrip().endswith(("'", '"'))
    assert yaml.safe_load(written) == {"a": text}


def test_no_alias_is_written():
    """Labels that objects share are written out in each place."""
    shared = {"a": 1}
    assert "&" not in to_yaml({"first": shared, "second": shared})


def test_versions_of_a_model_have_images_of_their_own(objects: list[Object]):
    """A kustomization sets the image of each Deployment, even where two are tags of one name."""
    entries = yaml.safe_load(render_kustomize(objects, "servd")["kustomization.yaml"])["images"]
    images = {entry["name"]: entry for entry in entries}
    repository = "registry.example:5000/feature_sum"
    assert images["feature-sum-1"] == {
        "name": "feature-sum-1",
        "newName": repository,
        "newTag": "1",
    }
    assert images["feature-sum-2"]["newTag"] == "2"
    assert images["images-1"]["digest"] == f"sha256:{'4' * 64}"


def test_an_image_without_a_tag_is_the_latest(objects: list[Object]):
    """A registry's port is no tag, and no tag is `latest`."""
    deployment = next(found for found in objects if found["kind"] == "Deployment")
    container(deployment)["image"] = "localhost:5000/theirs"
    text = render_kustomize([deployment], "servd")["kustomization.yaml"]
    (entry,) = yaml.safe_load(text)["images"]
    assert (entry["newName"], entry["newTag"]) == ("localhost:5000/theirs", "latest")
