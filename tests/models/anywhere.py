"""What models do in whichever Python: annotated in ways that older ones do not read themselves."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import os
import sys
import time
import typing as t


def numbers(xs):
    """Answer where it runs; print, raise, hang or end on what asks for it."""
    worst = min(min(x) for x in xs)
    if worst == -1:
        raise _refused()
    if worst == -2:
        os._exit(7)
    if worst == -3:
        time.sleep(60)
    print("printed in", *sys.version_info[:2], flush=True)
    return [[sys.prefix, "zmq" in sys.modules, "msgpack" in sys.modules, sum(x)] for x in xs]


def _refused():
    return ValueError("none of these")


async def items(x: t.List[float]):
    """Yield what it is given."""
    for each in x:
        await asyncio.sleep(0.001)
        yield each


@dataclasses.dataclass
class House:
    """A class that is read field by field."""

    rooms: int
    built: dt.date | None = None
    beside: list[House] = dataclasses.field(default_factory=list)


class Price(t.TypedDict, total=False):
    """What is answered."""

    price: float
    when: str | None


async def price(house: House, when: dt.datetime | None = None) -> Price:
    """Take classes, dates and unions as JSON says them."""
    await asyncio.sleep(0)
    rooms = house.rooms + sum(each.rooms for each in house.beside)
    return {"price": float(rooms), "when": None if when is None else when.isoformat()}


async def app(scope, receive, send):
    """Answer which Python it is."""
    if scope["type"] == "lifespan":
        while True:
            said = (await receive())["type"]
            await send({"type": f"{said}.complete"})
            if said == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": sys.prefix.encode()})
