"""The rules for names."""

import pytest

from servd import names
from servd.errors import InvalidNameError


@pytest.mark.parametrize("name", ["a", "_", "iris", "feature_sum", "a.b-c", "0", "x" * 63])
def test_servd_gives_names_that_follow_its_rule(name):
    """Letters, digits, '_', and '-' and '.' inside, up to 63 characters, are names everywhere."""
    names.check_application_name(name)
    names.check_model_name(name)
    names.check_version_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-a", "a-", ".a", "a b", "a/b", "a:b", "a,b", "é", "a\n", "x" * 64]
)
def test_servd_refuses_other_names_and_says_the_rule(name):
    """A name that breaks the rule is refused with the rule as the hint."""
    for check in (names.check_application_name, names.check_model_name, names.check_version_name):
        with pytest.raises(InvalidNameError) as caught:
            check(name)
        assert caught.value.hint == names.RULE


@pytest.mark.parametrize("name", sorted(names.RESERVED_APPLICATIONS))
def test_an_application_cannot_take_the_path_of_another_protocol(name):
    """A reserved first path segment is no application's name, by either rule; a model's it is."""
    with pytest.raises(InvalidNameError, match="reserved"):
        names.check_loose_application_name(name)
    with pytest.raises(InvalidNameError, match="reserved"):
        names.check_application_name(name)
    names.check_model_name(name)


def test_a_model_cannot_be_called_daemon():
    """`servd logs daemon` shows the daemon's log, so no model has that name."""
    with pytest.raises(InvalidNameError, match="reserved"):
        names.check_model_name("daemon")


@pytest.mark.parametrize("name", ["-a-", "a+b", "(x)", "a~b", "x" * 200])
def test_clippers_rule_is_looser(name):
    """Whatever is a path segment without escapes is a name to Clipper's admin API."""
    names.check_loose_application_name(name)
    names.check_loose_version(name, name, ["any label"])


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "a?b", "a#b", "a%b", "\x00", "é"])
def test_clippers_rule_still_wants_a_path_segment(name):
    """What cannot stand in a URL path as it is, is refused."""
    with pytest.raises(InvalidNameError, match="Invalid application name supplied"):
        names.check_loose_application_name(name)
    with pytest.raises(InvalidNameError, match="Invalid model name supplied"):
        names.check_loose_version(name, "1", [])
    with pytest.raises(InvalidNameError, match="Invalid model version supplied"):
        names.check_loose_version("m", name, [])


@pytest.mark.parametrize("text", ["a,b", "a:b"])
def test_separators_are_refused_in_clippers_words(text):
    """A ',' or ':' in a model name, version or label is refused word for word as Clipper does."""
    for what, arguments in (
        ("model name", (text, "1", [])),
        ("model version", ("m", text, [])),
        ("label", ("m", "1", [text])),
    ):
        with pytest.raises(InvalidNameError) as caught:
            names.check_loose_version(*arguments)
        assert caught.value.message == (
            f"Invalid {what} supplied: {text}. Contains one of: ',', ':'"
        )
