"""Names that Kubernetes accepts, and what is said of those that it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_adapter.errors import KubeNameError
from k8s_adapter.names import (
    check_host,
    check_label,
    check_service_name,
    check_subdomain,
    is_label,
    is_label_value,
    is_service_name,
    is_subdomain,
    object_names,
    to_label,
    to_label_value,
    to_service_name,
    to_subdomain,
)
from k8s_adapter.snapshot import Version


def version_of(model: str, version: str, created_s: float = 0.0) -> Version:
    """Return a version of that name."""
    return Version(model=model, version=version, input_type="doubles", created_s=created_s)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("My_Team", "my-team"),
        ("-models-", "models"),
        ("a" * 70, "a" * 63),
        ("modèles", "mod-les"),
        ("", "servd"),
        ("___", "servd"),
    ],
    ids=["case", "dashes", "long", "letters", "empty", "nothing left"],
)
def test_a_refused_name_gets_the_rule_and_a_valid_one(name: str, suggestion: str):
    """The error of a refused name says the rule, and the name that it suggests is valid."""
    with pytest.raises(KubeNameError) as caught:
        check_label("namespace", name)
    assert "RFC 1123" in caught.value.message
    assert caught.value.suggestion == suggestion
    assert suggestion in caught.value.hint
    check_label("namespace", suggestion)


def test_a_service_has_to_begin_with_a_letter():
    """A Service's name is under a stricter rule than others."""
    with pytest.raises(KubeNameError) as caught:
        check_service_name("application", "2fast")
    assert "RFC 1035" in caught.value.message
    check_service_name("application", caught.value.suggestion)


@pytest.mark.parametrize(
    ("host", "suggestion"),
    [
        ("http://Models.Example.com:8080/a", "models.example.com"),
        ("models_1.example.com", "models-1.example.com"),
        ("..", "servd"),
    ],
    ids=["a URL", "an underscore", "nothing left"],
)
def test_an_ingress_host_is_a_host_name(host: str, suggestion: str):
    """What is not a host name is refused with the host name that was probably meant."""
    with pytest.raises(KubeNameError) as caught:
        check_host(host)
    assert caught.value.suggestion == suggestion


def test_valid_names_pass():
    """Valid names of each kind raise nothing."""
    check_label("namespace", "team-1")
    check_service_name("application", "feature-sum")
    check_subdomain("image pull secret", "registry.key")
    check_host("*.example.com")


def test_a_secrets_name_may_have_dots_and_no_capitals():
    """A refused name of a Secret is told with the rule of subdomains."""
    with pytest.raises(KubeNameError, match="RFC 1123 subdomain"):
        check_subdomain("image pull secret", "Registry")


@given(st.text(max_size=300))
def test_every_text_has_a_valid_name_near_it(text: str):
    """Whatever a model is called, its suggested names and label's value are valid."""
    assert is_label(to_label(text))
    assert is_service_name(to_service_name(text))
    assert is_subdomain(to_subdomain(text))
    assert is_label_value(to_label_value(text))


@given(
    st.lists(
        st.tuples(st.text("aB-_.1", min_size=1, max_size=80), st.text("1.-x", min_size=1)),
        unique=True,
        max_size=8,
    )
)
def test_versions_never_share_a_name(keys: list[tuple[str, str]]):
    """However alike versions are called, each has a valid name of its own."""
    names = object_names(version_of(model, version) for model, version in keys)
    assert len(set(names.values())) == len(keys)
    assert all(is_service_name(name) for name in names.values())


def test_names_are_the_models_and_the_versions():
    """A name is the model's and the version's, in letters that are allowed."""
    assert object_names([version_of("feature_sum", "1.0")]) == {
        "feature_sum:1.0": "feature-sum-1-0"
    }


def test_a_new_version_renames_no_older_one():
    """Of two versions whose names would be the same, the older one keeps it."""
    older, newer = version_of("a-b", "1", 1.0), version_of("a_b", "1", 2.0)
    assert object_names([older]) == {"a-b:1": "a-b-1"}
    both = object_names([newer, older])
    assert both["a-b:1"] == "a-b-1"
    assert both["a_b:1"].startswith("a-b-1-")


def test_no_version_takes_the_frontends_name():
    """A version that would be called query-frontend gets another name."""
    name = object_names([version_of("query", "frontend")])["query:frontend"]
    assert name.startswith("query-frontend-")


def test_label_values_keep_what_they_can():
    """A label holds a name as it is where that is allowed, and otherwise what tells it apart."""
    assert to_label_value("Feature_Sum.1") == "Feature_Sum.1"
    assert to_label_value("a$b") != to_label_value("a&b")
