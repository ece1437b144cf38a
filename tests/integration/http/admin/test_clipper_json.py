"""Bodies that Clipper's calls do not take."""

import pytest


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "JSON parse error: The document is empty. (offset 0)\n"),
        (b"{", "JSON parse error: Invalid value. (offset 1)\n"),
        (b'{"verbose": NaN}', "JSON parse error: Invalid value. (offset 12)\n"),
        (b"[true]", "Can only get key-value pair from an object"),
        (b"{}", "JSON object does not have required key: verbose"),
        (
            b'{"verbose": "yes"}',
            "Type mismatch! JSON key verbose expected type boolbut found type String",
        ),
        (
            b'{"verbose": 1}',
            "Type mismatch! JSON key verbose expected type boolbut found type Number",
        ),
        (
            b'{"verbose": null}',
            "Type mismatch! JSON key verbose expected type boolbut found type Null",
        ),
        (b"[" * 100_000, "JSON parse error: The document is nested too deeply. (offset 0)\n"),
    ],
)
def test_json_faults(scenario, tmp_path, body, what):
    """Each fault of a body is told in Clipper's words with the shape that the call takes."""
    schema = '\n  {\n   "verbose" := bool\n  }\n'

    async def steps(parts):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        found = await parts.call("POST", "/admin/get_all_models", body, headers=headers)
        assert found == (400, f"Error parsing JSON: {what}. Expected JSON schema: {schema}")

    scenario(tmp_path, steps)


@pytest.mark.parametrize("body", [b"\xff\xfe", b'{"verbose": "\xff"}', b'{"verbose":1e999}'])
def test_bytes_that_are_no_json(scenario, tmp_path, body):
    """Whatever the bytes, the answer is 400."""

    async def steps(parts):
        assert (await parts.call("POST", "/admin/get_all_models", body))[0] == 400

    scenario(tmp_path, steps)


def test_every_request_is_answered_and_labelled_json(scenario, tmp_path):
    """Ping, unknown paths and wrong methods are answered, with Clipper's content type."""

    async def steps(parts):
        for method, path, status in (
            ("GET", "/admin/ping", 200),
            ("GET", "/admin/add_app", 405),
            ("POST", "/admin/nothing", 404),
        ):
            async with parts.client.request(method, parts.base + path) as answer:
                assert answer.status == status
                assert answer.content_type == "application/json"
                assert not (await answer.text()).startswith("{")

    scenario(tmp_path, steps)
