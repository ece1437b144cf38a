"""What a build says at its end."""

import msgspec
import pytest

from servd.cli.build_body import BuildProgress
from servd.cli.output import Output
from tests.image_specs import VERSION, spec_of


@pytest.mark.parametrize(
    ("web", "example", "shown"),
    [
        (None, [1, 2], "curl -d '{\"input\":[1,2]}' http://127.0.0.1:5000/predict"),
        (None, None, "curl -fsS"),
        ("asgi", None, "curl http://127.0.0.1:5000/"),
    ],
    ids=["a-model", "no-example", "web"],
)
def test_the_last_line_is_what_to_ask_the_container(capsys, web, example, shown):
    """A model by its example, a web application at its root; else whether it is ready."""
    version = msgspec.structs.replace(VERSION, web=web)
    progress = BuildProgress(
        Output(is_json=False, is_quiet=False, no_color=True), spec_of("standalone", version=version)
    )
    progress.on_built("sha256:0123456789abcdef", is_cached=False)
    progress.finish(example)
    assert capsys.readouterr().out.splitlines()[-1].strip().startswith(shown)
