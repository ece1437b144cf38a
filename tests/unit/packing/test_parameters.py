"""What a class is made with, as the command line writes it."""

import pytest

from servd.errors import InvalidValueError
from servd.packing.parameters import read_parameters


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1:INT", 1),
        ("a=-3:int", -3),
        ("a=0.5:FLOAT", 0.5),
        ("a=2:DOUBLE", 2.0),
        ("a=1:STRING", "1"),
        ("a=x:y:STRING", "x:y"),
        ("a=:STRING", ""),
        ("a=true:BOOL", True),
        ("a=0:BOOL", False),
        ('a={"b": [1]}:JSON', {"b": [1]}),
        ("a=null:JSON", None),
        ("a=1", 1),
        ("a=0.5", 0.5),
        ("a=true", True),
        ("a=text", "text"),
        ("a=http://h:80/x", "http://h:80/x"),
        ('a={"b": "c:d"}', {"b": "c:d"}),
        ("a=NaN", "NaN"),
        ("a=x=y", "x=y"),
        ("a=", ""),
    ],
)
def test_a_value_is_of_its_type_or_what_it_looks_like(text, value):
    """Without a type, JSON where it is that."""
    (found,) = read_parameters([text]).values()
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["a"], "'a' is not a parameter"),
        (["=1"], "'=1' is not a parameter"),
        (["a b=1"], "is not a parameter"),
        (["a=x:INT"], "'a' is not of type INT: 'x'"),
        (["a=1.5:INT"], "not of type INT"),
        (["a=nan:FLOAT"], "not of type FLOAT"),
        (["a=inf:DOUBLE"], "not of type DOUBLE"),
        (["a=maybe:BOOL"], "not of type BOOL"),
        (["a={:JSON"], "not of type JSON"),
        (["a=NaN:JSON"], "not of type JSON"),
        (["a=1:LONG"], "'a' has no type 'LONG'"),
        (["a=1", "a=2"], "'a' is given twice"),
    ],
)
def test_what_is_none_is_refused_with_the_form(texts, words):
    """It says which, and what one looks like."""
    with pytest.raises(InvalidValueError) as caught:
        read_parameters(texts)
    assert words in caught.value.message
    assert "alpha=0.5:FLOAT" in caught.value.hint
