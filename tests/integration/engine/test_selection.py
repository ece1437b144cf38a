"""The seam of selection: which version answers is decided beside the query path, not in it."""

import itertools

from tests.scripted_replica import ScriptedReplica
from tests.serving import run, serving


class Turns:
    """A toy: the versions take turns, whatever is current."""

    def __init__(self):
        self._count = itertools.count()

    def ask(self, engine, route, row, sink, index):
        """Give the query to the version whose turn it is."""
        names = sorted(route.versions)
        name = names[next(self._count) % len(names)]
        return engine.submit(route, route.versions[name], row, sink, index)


def asked(replica):
    """Return how many rows a replica has got."""
    return sum(map(len, replica.batches))


def test_a_selection_decides_where_no_version_is_named():
    """One input, several, and long ones follow it; who names a version gets that; None ends it."""

    async def main():
        with ScriptedReplica() as one, ScriptedReplica() as two:
            async with serving() as served:
                await served.attach(one, served.deploy(version="1"))
                await served.attach(two, served.deploy(version="2"))
                served.engine.by_name["app"].select(Turns())
                for number in range(4):
                    await served.predict({"input": [number]})
                assert (asked(one), asked(two)) == (2, 2)
                await served.predict({"input_batch": [[number] for number in range(4, 10)]})
                assert (asked(one), asked(two)) == (5, 5)
                await served.predict({"input": [10] * 50_000})
                assert (asked(one), asked(two)) == (6, 5)
                await served.predict({"input": [11], "version": "2"})
                assert (asked(one), asked(two)) == (6, 6)
                served.engine.apply(served.state)
                await served.predict({"input": [12]})
                assert (asked(one), asked(two)) == (6, 7)
                served.engine.by_name["app"].select(None)
                for number in range(13, 16):
                    await served.predict({"input": [number]})
                assert (asked(one), asked(two)) == (6, 10)

    run(main())
