"""The pages for people."""

import base64
import hashlib
import re
from dataclasses import replace as replace_signature
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from model_runtime.signature import Signature
from servd.http.documents.page import application_page, index_page, policy, token_page
from tests.described import ALL, SIGNED, UPPER, described, wide

HOSTILE = "</script><img src=x onerror=alert(1)>'\"&"


class Reader(HTMLParser):
    """Keeps what a page consists of."""

    def __init__(self):
        super().__init__()
        self.tags, self.texts, self.open = [], {}, []

    def handle_starttag(self, tag, attrs):
        """Take the beginning of an element."""
        self.tags.append((tag, dict(attrs)))
        if tag not in ("input", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        """Take the end of one."""
        assert self.open.pop() == tag

    def handle_data(self, data):
        """Take a text."""
        if self.open:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data

    def of(self, *names):
        """Return the attributes of all elements with these names."""
        return [attributes for tag, attributes in self.tags if tag in names]


def read(page):
    """Return a parsed page: every element is closed where it was opened."""
    reader = Reader()
    reader.feed(page.decode())
    assert reader.open == []
    return reader


def page_of(application):
    """Return an application's page."""
    return b"".join(application_page(application))


@pytest.mark.parametrize("application", ALL, ids=[each.name for each in ALL])
def test_a_page_is_short_and_whole(application):
    """Each is below 30 kB, shows the example, and asks nobody else for anything."""
    page = page_of(application)
    assert len(page) < 30_000
    reader = read(page)
    assert application.name in reader.texts["h1"]
    assert f"{application.name}/predict" in page.decode().replace("&amp;", "&").replace(
        "&#x27;", "'"
    )
    for attributes in reader.of("script", "img", "link", "iframe"):
        assert not attributes
    assert not any(name.startswith("on") for _, each in reader.tags for name in each)


def test_what_others_wrote_is_escaped():
    """Names, values, defaults and schemas that look like HTML are shown as what they are."""
    signature = Signature(
        input_type="rows",
        fields={HOSTILE: {"type": "string", "enum": [HOSTILE], "default": HOSTILE}},
        output={"type": "string", "const": HOSTILE},
    )
    application = replace(
        described("a", signature, default=f'"{HOSTILE}"'.encode()), model=HOSTILE, version=HOSTILE
    )
    for page in (page_of(application), *index_page(["a"], [HOSTILE], is_guarded=True)):
        reader = read(page)
        assert not reader.of("img")
        assert len(reader.of("script")) == 1


def test_the_policy_lets_in_what_the_pages_have():
    """The digests are those of the script and the style sheet in every page."""
    line = policy().decode()
    for page in (page_of(SIGNED[0]), *index_page([], [], is_guarded=False), token_page()):
        reader = read(page)
        for tag in ("script", "style"):
            digest = base64.b64encode(hashlib.sha256(reader.texts[tag].encode()).digest())
            assert f"{tag}-src 'sha256-{digest.decode()}'" in line
    assert "default-src 'none'" in line


def test_fields_have_entries():
    """The form has an entry for each field: a list where few values are allowed, else a line."""
    reader = read(page_of(SIGNED[0]))
    entries = {each["name"]: each for each in reader.of("input", "select") if "name" in each}
    assert list(entries) == list(SIGNED[0].signature.fields)
    assert {name for name, each in entries.items() if "required" in each} == {
        *("age", "income", "city", "since"),
    }
    assert entries["age"]["value"] == "33"
    assert entries["since"] == {
        "type": "date",
        "name": "since",
        "data-part": "field",
        "required": None,
        "data-kind": "text",
        "value": "2021-05-04",
    }
    assert [each["value"] for each in reader.of("option")][:3] == ["Oslo", "Bergen", "Tromsø <b>"]


def test_the_one_field_has_the_example():
    """Where an input is one value, that may be given without its name too, it is in its entry."""
    signature = replace_signature(UPPER, has_example=True, example="a word")
    (entry,) = [
        each for each in read(page_of(described("a", signature))).of("input") if "name" in each
    ]
    assert (entry["name"], entry["value"]) == ("text", "a word")


def test_very_many_fields_are_not_all_shown():
    """A page names some, says how many more there are, and takes the input as JSON."""
    page = page_of(described("wide", wide(2000)))
    assert len(page) < 30_000
    assert b"and 1920 more" in page
    assert len(read(page).of("textarea")) == 1


@pytest.mark.parametrize(
    ("name", "part"), [("bytes$&'()", "file"), ("tokens", "stream"), ("upper", "token")]
)
def test_the_form_is_of_the_kind_of_input(name, part):
    """Bytes come from a file; a stream has a button of its own; a token can be typed in."""
    application = next(each for each in ALL if each.name == name)
    assert re.search(rf'data-part="{part}"', page_of(application).decode())


@pytest.mark.parametrize("kind", ["bytes", "rows"])
def test_a_field_that_is_a_file_is_chosen_as_one(kind):
    """Also without JavaScript: the form is sent as forms of files are."""
    file = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/*"}
    signature = Signature(input_type=kind, fields={"img": file}, required=("img",), call="each")
    page = read(page_of(described("picture", signature)))
    (entry,) = page.of("input")
    assert (entry["type"], entry["name"], "required" in entry) == ("file", "img", True)
    (form,) = page.of("form")
    assert (form["method"], form["enctype"]) == ("post", "multipart/form-data")


def test_the_page_of_all_has_links():
    """Each application is one link away."""
    (page,) = index_page(["a", "b"], ["m", ""], is_guarded=False)
    links = [each["href"] for each in read(page).of("a")]
    assert links == ["/a", "/b", "/openapi.json", "/metrics"]
