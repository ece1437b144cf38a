"""The page of an application for people, of all of them, and of a token that is missing: HTML.

Static but for the names and schemas that it shows, all of which are escaped. It reads without
JavaScript; with it, the form sends an input and shows the answer. Nothing comes from elsewhere: the
Content-Security-Policy lets in the one style sheet and the one script, by their digests.
"""

import base64
import hashlib
import json
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any, Final

from model_runtime.signature import Schema
from servd.datatypes import InputType
from servd.http.documents.application import Described
from servd.http.documents.schemas import as_text, by_names, example_of, input_schema, output_schema
from servd.schemas.parts import is_of_bytes

HTML: Final = b"text/html; charset=utf-8"

MAX_ROWS: Final = 80
"""Fields, or applications, that a page names; the documents have them all."""

MAX_ENTRIES: Final = 40
"""Fields that the form has an entry each for; more are given as one JSON text."""

MAX_OPTIONS: Final = 200
"""Values of a field that are offered."""

MAX_SHOWN: Final = 600
"""Characters of a schema, or of an example, that are shown."""

_STATIC: Final = Path(__file__).parent / "static"
_SIMPLE: Final = frozenset({"integer", "number", "boolean", "string"})


@cache
def policy() -> bytes:
    """Return the header line that keeps all else out of the pages."""
    digests = {
        name: base64.b64encode(hashlib.sha256(_static(name).encode()).digest()).decode()
        for name in ("page.css", "page.js")
    }
    said = "; ".join(
        (
            "default-src 'none'",
            f"style-src 'sha256-{digests['page.css']}'",
            f"script-src 'sha256-{digests['page.js']}'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
    return (
        f"Content-Security-Policy: {said}\r\n"
        "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
    ).encode()


@cache
def _static(name: str) -> str:
    return (_STATIC / name).read_text("utf-8")


def _page(title: str, parts: Sequence[str]) -> bytes:
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_static('page.css')}</style></head>\n"
        f"<body>\n{body}\n<script>{_static('page.js')}</script></body></html>\n"
    ).encode()


def application_page(application: Described) -> Iterator[bytes]:
    """Yield the page of an application."""
    example = example_of(application)
    yield _page(
        f"{application.name} - servd",
        (
            "<main>",
            _summary(application),
            *_fields(application),
            _examples(application, example),
            _form(application, example),
            "</main>",
        ),
    )


def index_page(names: Sequence[str], models: Sequence[str], *, is_guarded: bool) -> Iterator[bytes]:
    """Yield the page that has a link to each application's."""
    rows = "".join(
        f'<tr><td><a href="/{escape(name)}">{escape(name)}</a></td><td>{escape(model)}</td></tr>'
        for name, model in islice(zip(names, models, strict=True), MAX_ROWS)
    )
    more = f"<p>… and {len(names) - MAX_ROWS} more.</p>" if len(names) > MAX_ROWS else ""
    heads = "<tr><th>Application</th><th>Model</th></tr>"
    table = f'<div class="wide"><table>{heads}{rows}</table></div>'
    none = "<p>There is no application yet: <code>servd deploy FILE</code> makes one.</p>"
    token = '<p class="faint">Queries and documents need the token.</p>' if is_guarded else ""
    links = '<a href="/openapi.json">OpenAPI</a> · <a href="/metrics">metrics</a>'
    links = f'<p class="faint">{links}</p>'
    parts = ("<main><h1>servd</h1>", table if names else none, more, links, token, "</main>")
    yield _page("servd", parts)


def token_page() -> bytes:
    """Return the page that asks for the token of the server."""
    return _page(
        "servd: a token is needed",
        (
            "<main><h1>This server asks for a token</h1>",
            "<p>Programs send the header <code>Authorization: Bearer TOKEN</code>; whoever runs",
            "the server knows the token (SERVD_TOKEN).</p>",
            '<form data-kind="token"><label>Token',
            '<input data-part="token" type="password" autocomplete="off" required></label>',
            "<button disabled>Open</button></form><output></output>",
            "<noscript><p>Without JavaScript a browser cannot send it.</p></noscript></main>",
        ),
    )


def _summary(application: Described) -> str:
    model = f"model {application.model}" if application.model else "no model yet"
    if application.version is not None:
        model += f", version {application.version}"
    signature = application.signature
    streams = " as a stream" if signature is not None and signature.is_stream else ""
    kind = application.inputs.input_type.value
    said = f"An application of servd: {model}; takes {kind}{streams}"
    objective = f"; answers within {application.slo_s * 1000:g} ms" if application.slo_s > 0 else ""
    default = (
        f"<p>Where there is no output in time it answers <code>"
        f"{escape(_short(application.default.decode()))}</code>.</p>"
        if application.default is not None
        else ""
    )
    path = escape(application.path)
    return (
        f"<h1>{escape(application.name)}</h1><p>{escape(said + objective)}.</p>{default}"
        f'<p class="faint"><a href="{path}/schema">schema</a> · '
        f'<a href="{path}/openapi.json">OpenAPI</a> · <a href="/">all applications</a></p>'
    )


def _short(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… ({len(text)} characters)"


def _fields(application: Described) -> Iterator[str]:
    """Yield the table of the fields of an input, or of what an input is, and of outputs."""
    signature = application.signature
    named = None if signature is None else signature.fields
    yield "<h2>Input</h2>"
    if signature is None or named is None:
        yield f"<pre>{escape(_short(as_text(input_schema(application, signature))))}</pre>"
    else:
        rows = "".join(
            _row(name, schema, is_required=name in signature.required)
            for name, schema in islice(named.items(), MAX_ROWS)
        )
        heads = "".join(
            f'<th scope="col">{head}</th>'
            for head in ("Name", "Type", "Required", "Default", "Allowed")
        )
        yield f'<div class="wide"><table><tr>{heads}</tr>{rows}</table></div>'
        if len(named) > MAX_ROWS:
            path = escape(application.path)
            more = len(named) - MAX_ROWS
            yield f'<p>… and {more} more: <a href="{path}/schema">all in the schema</a>.</p>'
    output = output_schema(signature)
    if output:
        yield f"<h2>Output</h2><pre>{escape(_short(as_text(output)))}</pre>"


def _row(name: str, schema: Any, *, is_required: bool) -> str:
    schema = schema if isinstance(schema, dict) else {}
    default = as_text(schema["default"]) if "default" in schema else ""
    cells = (type_of(schema), "yes" if is_required else "no", default, allowed_by(schema))
    shown = "".join(f"<td>{escape(_short(cell))}</td>" for cell in cells)
    return f'<tr><th scope="row"><code>{escape(name)}</code></th>{shown}</tr>'


def type_of(schema: Schema) -> str:
    """Return in a few words what a schema takes."""
    kinds = schema.get("type", [])
    words = [kinds] if isinstance(kinds, str) else [str(kind) for kind in kinds]
    if not words and "anyOf" in schema:
        words = [type_of(each) for each in schema["anyOf"] if isinstance(each, dict)]
    words = ["file"] if is_of_bytes(schema) else words or ["any"]
    if isinstance(schema.get("items"), dict) and "array" in words:
        words[words.index("array")] = f"array of {type_of(schema['items'])}"
    if "format" in schema:
        words[0] = f"{words[0]} ({schema['format']})"
    return " or ".join(words)


def allowed_by(schema: Schema) -> str:
    """Return in a few words which values of its type a schema takes."""
    if "enum" in schema:
        return ", ".join(map(as_text, schema["enum"][:20])) + ", …" * (len(schema["enum"]) > 20)
    said = [
        f"{sign} {schema[key]}"
        for key, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
            ("minLength", "length ≥"),
            ("maxLength", "length ≤"),
            ("minItems", "items ≥"),
            ("maxItems", "items ≤"),
            ("pattern", "like"),
        )
        if key in schema
    ]
    return ", ".join(said)


def _examples(application: Described, example: Any) -> str:
    body = json.dumps({"input": example}, ensure_ascii=False)
    if len(body) > 2 * MAX_SHOWN:
        path = escape(application.path)
        return f'<h2>Example</h2><p>It is long: <a href="{path}/schema">in the schema</a>.</p>'
    token = " -H 'Authorization: Bearer '\"$SERVD_TOKEN\"" if application.is_guarded else ""
    url = f"http://HOST:PORT{application.path}/predict"
    curl = f"curl{token} -d {shlex.quote(body)} {shlex.quote(url)}"
    return (
        f"<h2>Example</h2><pre>{escape(body)}</pre>"
        f'<pre id="curl">{escape(curl)}</pre>'
        '<noscript><p class="faint">HOST:PORT is where this page is.</p></noscript>'
    )


def _form(application: Described, example: Any) -> str:
    signature = application.signature
    named = None if signature is None else signature.fields
    path = escape(f"{application.path}/predict")
    entries = _whole(application, example)
    native = ""
    if named and len(named) <= MAX_ENTRIES and signature is not None:
        known = by_names(signature, example)
        each = "".join(
            _entry(name, schema, known.get(name), is_required=name in signature.required)
            for name, schema in named.items()
        )
        # What has files is sent as a form; the rest are parts of a query string.
        has_files = any(map(is_of_bytes, named.values()))
        how = 'method="post" enctype="multipart/form-data"' if has_files else 'method="get"'
        entries, native = f'<div class="fields">{each}</div>', f' {how} action="{path}"'
    token = (
        '<label>Token <input data-part="token" type="password" autocomplete="off"></label>'
        if application.is_guarded
        else ""
    )
    buttons = f"<button{'' if native else ' disabled'}>Send</button>"
    if signature is not None and signature.is_stream:
        buttons += ' <button class="plain" data-part="stream" disabled>Stream</button>'
    without = "the answer takes this page's place" if native else "the line for curl does the same"
    return (
        f'<h2>Try it</h2><form data-path="{path}"{native}>{entries}{token}{buttons}</form>'
        f'<output aria-live="polite"></output><noscript><p>Without JavaScript {without}.</p>'
        "</noscript>"
    )


def _whole(application: Described, example: Any) -> str:
    """Return the entries of an input that is given as one value."""
    if application.inputs.input_type is InputType.BYTES:
        return '<label>File <input data-part="file" type="file" required></label>'
    if application.inputs.input_type is InputType.STRINGS and isinstance(example, str):
        return (
            '<label>Input <small>text</small><textarea data-part="whole" data-kind="text">'
            f"\n{escape(example)}</textarea></label>"
        )
    text = json.dumps(example, ensure_ascii=False)
    text = text if len(text) <= 2 * MAX_SHOWN else ""
    return (
        '<label>Input <small>JSON</small><textarea data-part="whole" data-kind="json" '
        f'spellcheck="false">\n{escape(text)}</textarea></label>'
    )


def _entry(name: str, schema: Any, example: Any, *, is_required: bool) -> str:
    """Return the label and the entry of one field."""
    schema = schema if isinstance(schema, dict) else {}
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    attributes = f'name="{escape(name)}" data-part="field"' + " required" * is_required
    shown = f"{escape(name)} <small>{escape(type_of(schema))}</small>"
    if is_of_bytes(schema):
        return f'<label>{shown}<input type="file" {attributes} data-kind="file"></label>'
    values = schema.get("enum") or ([True, False] if kinds == ["boolean"] else [])
    if values:
        return f"<label>{shown}{_select(values, example, attributes, is_required)}</label>"
    is_text = kinds == ["string"]
    kind = "text" if is_text else "json" if _SIMPLE.issuperset(kinds) and kinds else "loose"
    is_as_it_is = isinstance(example, str) and kind != "json"
    given = "" if example is None else example if is_as_it_is else as_text(example)
    look = {"date": "date"}.get(schema.get("format", "") if is_text else "", "text")
    return (
        f'<label>{shown}<input type="{look}" {attributes} data-kind="{kind}" '
        f'value="{escape(given)}"></label>'
    )


def _select(values: list[Any], example: Any, attributes: str, is_required: bool) -> str:  # noqa: FBT001
    """Return the entry of a field that takes few values: texts as they are, others as JSON."""
    kind = "text" if all(isinstance(each, str) for each in values) else "json"
    shown = [each if kind == "text" else as_text(each) for each in values[:MAX_OPTIONS]]
    options = "" if is_required else '<option value=""></option>'
    for value, text in zip(values, shown, strict=False):
        chosen = " selected" * (value == example and type(value) is type(example))
        options += f'<option value="{escape(text)}"{chosen}>{escape(text)}</option>'
    return f'<select {attributes} data-kind="{kind}">{options}</select>'
