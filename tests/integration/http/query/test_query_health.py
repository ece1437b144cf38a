"""What probers ask the query port: `/healthz` and `/readyz`."""

import pytest

from servd.errors import InvalidNameError
from servd.names import check_application_name, check_loose_application_name
from tests.serving import run, serving


@pytest.mark.parametrize("settings", [{}, {"bind": "0.0.0.0", "token": "t"}], ids=["open", "token"])
def test_a_prober_hears_that_the_server_lives_and_whether_it_is_ready(settings):
    """No token is asked for; readiness is taken back before the door closes, life is not."""

    async def story():
        async with serving(**settings) as served:

            async def status(line, *, has_body=True):
                answer = await served.send(
                    f"{line} HTTP/1.1\r\nHost: h\r\n\r\n".encode(), has_body=has_body
                )
                return answer.status, answer.body

            assert await status("GET /healthz") == (200, b"ok\n")
            assert await status("GET /readyz?verbose=1") == (200, b"ok\n")
            assert await status("HEAD /readyz", has_body=False) == (200, b"")
            served.server.is_ready = False
            assert await status("GET /healthz") == (200, b"ok\n")
            assert await status("GET /readyz") == (503, b"not ready\n")
            served.server.is_ready, served.server.is_draining = True, True
            assert await status("GET /readyz") == (503, b"draining\n")

    run(story())


@pytest.mark.parametrize("name", ["healthz", "readyz"])
def test_no_application_takes_their_place(name):
    """Both APIs refuse these names."""
    for check in (check_application_name, check_loose_application_name):
        with pytest.raises(InvalidNameError, match="is reserved"):
            check(name)
