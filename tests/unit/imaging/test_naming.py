"""The names of images."""

import pytest
from docker.utils import parse_repository_tag

from servd import __version__
from servd.datatypes import VersionId
from servd.errors import InvalidNameError
from servd.imaging.naming import checked_registry, checked_tag, image_name

IRIS = VersionId("iris", "1")


@pytest.mark.parametrize(
    ("kind", "registry", "name"),
    [
        ("replica", None, "iris:1"),
        ("replica", "localhost:5000", "localhost:5000/iris:1"),
        ("standalone", None, "iris-standalone:1"),
        ("standalone", "gcr.io/project/", "gcr.io/project/iris-standalone:1"),
        ("standalone", "someone", "someone/iris-standalone:1"),
        ("frontend", "[::1]:5000", f"[::1]:5000/servd-frontend:{__version__}"),
    ],
)
def test_an_image_is_called_by_its_kind_its_version_and_its_registry(kind, registry, name):
    """Legal names stay as they are; the kind shows in the repository, the version in the tag."""
    assert image_name(kind, IRIS, registry) == name


def test_names_that_a_registry_refuses_are_changed_and_stay_apart():
    """A changed name carries a digest: 'Iris', 'iris' and 'IRIS' are three images."""
    names = {image_name("replica", VersionId(model, "1")) for model in ("iris", "Iris", "IRIS")}
    assert len(names) == 3
    assert image_name("replica", VersionId("Iris", "1")) == "iris-65003c7a:1"


@pytest.mark.parametrize("model", ["iris-standalone", "servd-frontend"])
def test_a_model_does_not_take_the_name_of_another_kind_of_image(model):
    """A model whose name is another kind's repository gets a digest."""
    own = image_name("replica", VersionId(model, "1"))
    assert own.startswith(f"{model}-")
    assert own != image_name("standalone", IRIS)


@pytest.mark.parametrize(
    "name", ["_", "a__b", "a_-b", "(x)", "x" * 200, "Feature_Sum", "a~b", "-a-", "$", "a..b"]
)
def test_every_name_of_a_model_gives_a_legal_image(name):
    """Whatever servd or Clipper's admin API accepts as a name becomes a legal reference."""
    for kind in ("replica", "standalone"):
        assert checked_tag(image_name(kind, VersionId(name, name)))


@pytest.mark.parametrize(
    ("given", "checked"),
    [("iris", "iris:latest"), ("a.b:5000/c/d:e", "a.b:5000/c/d:e"), ("a/b_c", "a/b_c:latest")],
)
def test_a_given_tag_is_complete(given, checked):
    """A name without a tag means latest."""
    assert checked_tag(given) == checked
    repository, tag = parse_repository_tag(checked)
    assert f"{repository}:{tag}" == checked


@pytest.mark.parametrize(
    "tag", ["", "A", "a b", "a:", "a:b c", "http://a/b", "a@sha256:" + "0" * 64]
)
def test_a_tag_that_is_no_name_is_refused_with_what_a_name_is(tag):
    """An image cannot be given an illegal name or a digest."""
    with pytest.raises(InvalidNameError) as caught:
        checked_tag(tag)
    assert "NAME in lower case" in caught.value.hint


@pytest.mark.parametrize("registry", ["http://localhost:5000", "a b", "a/B", "a:x", "/"])
def test_a_registry_that_cannot_begin_a_name_is_refused(registry):
    """A scheme, spaces or upper case in the path are no part of a reference."""
    with pytest.raises(InvalidNameError, match="is not a registry"):
        checked_registry(registry)
