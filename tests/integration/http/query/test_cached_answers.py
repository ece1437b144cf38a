"""What is said of answers from the cache, and how a caller gets another."""

import pytest

from tests.scripted_replica import ScriptedReplica
from tests.serving import run, serving

HEAD = b"POST /app/predict HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%b\r\n%b"


def ask(served, body, *lines):
    """Send a body with further header lines."""
    return served.send(HEAD % (len(body), b"".join(b"%b\r\n" % line for line in lines), body))


def with_app(check, **settings):
    """Run `check(served, replica)` on a server with one application and one live replica."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving(**settings) as served:
                await served.attach(replica, served.deploy())
                await check(served, replica)

    run(main())


def is_hit(answer):
    """Whether the answer's head says that no model was asked."""
    return answer.headers.get("cache") == "hit"


def test_an_answer_from_the_cache_says_so():
    """Known by its row or by its body; the first, and those of batches, say nothing."""

    async def check(served, replica):
        bodies = [b'{"input":[1,2]}', b'{"input":[1,2]}', b'{"input":[1,2]}', b'{"input": [1, 2]}']
        assert [is_hit(await ask(served, body)) for body in bodies] == [False, True, True, True]
        assert len(replica.batches) == 1

    with_app(check)


@pytest.mark.parametrize("words", [b"no-cache", b"max-age=0, No-Cache", b"no-store"])
def test_a_caller_that_wants_no_known_answer_gets_a_new_one(words):
    """Also for a body that was known; what was computed anew is what others get afterwards."""

    async def check(served, replica):
        body = b'{"input":[1,2]}'
        for _ in range(3):
            await ask(served, body)
        for count in (2, 3):
            assert not is_hit(await ask(served, body, b"Cache-Control: " + words))
            assert len(replica.batches) == count
        assert is_hit(await ask(served, body))
        assert is_hit(await ask(served, body, b"Cache-Control: max-age=0"))
        assert len(replica.batches) == 3

    with_app(check)


def test_a_batch_may_want_new_answers():
    """Each of its inputs is computed anew."""

    async def check(served, replica):
        body = b'{"input_batch":[[1],[2]]}'
        for _ in range(2):
            await ask(served, body)
        assert sum(map(len, replica.batches)) == 2
        await ask(served, body, b"Cache-Control: no-cache")
        assert sum(map(len, replica.batches)) == 4

    with_app(check)


def test_a_long_body_may_want_a_new_answer():
    """What is read by another process is forgotten here as well."""

    async def check(served, replica):
        body = b'{"input":[%b]}' % b",".join([b"1.5"] * 40_000)
        for _ in range(2):
            await ask(served, body)
        assert len(replica.batches) == 1
        await ask(served, body, b"Cache-Control: no-cache")
        assert len(replica.batches) == 2

    with_app(check, cache_bytes=1 << 24)


def test_a_version_without_a_cache_computes_each_answer():
    """As the deployer said that its answers change."""

    async def check(served, replica):
        await served.attach(replica, served.deploy(is_cached=False))
        for count in (1, 2, 3):
            assert not is_hit(await ask(served, b'{"input":[1]}'))
            assert len(replica.batches) == count

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                await check(served, replica)

    run(main())
