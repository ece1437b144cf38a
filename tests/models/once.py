"""Functions that are called once an input: each notes its calls, and some inputs fail."""

import asyncio
import os
from collections import namedtuple
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TypedDict

import pydantic

CALLS: list[object] = []


def course(feature_1: int = 0, feature_2: int = 0) -> dict[str, int]:
    """Return what came, by its place."""
    CALLS.append((feature_1, feature_2))
    if feature_1 < 0:
        raise ArithmeticError("negative")
    if feature_1 == 99:
        return object()  # type: ignore[return-value]
    return {"tens": feature_1 * 10 + feature_2}


@dataclass
class House:
    """Has two parts."""

    rooms: int
    city: str = "Oslo"

    def __post_init__(self) -> None:
        """Refuse what is no house."""
        if self.rooms < 0:
            raise ValueError("rooms cannot be below 0")


def price(house: House) -> float:
    """Return a price of one house."""
    return house.rooms * 100.0 + len(house.city)


def prices(houses: list[House]) -> list[float]:
    """Return the prices of several."""
    CALLS.append(len(houses))
    return [price(house) for house in houses]


class Person(pydantic.BaseModel):
    """pydantic's."""

    name: str
    age: int = pydantic.Field(default=30, ge=0)


def greet(person: Person) -> str:
    """Return a greeting."""
    return f"{person.name} is {person.age}"


class Words(TypedDict, total=False):
    """Of which none must be there."""

    left: str
    right: str


def join(words: Words) -> list[str]:
    """Return what has been given."""
    return sorted(words)


def mean(numbers: list[float]) -> float:
    """Return the mean of one input."""
    return sum(numbers) / len(numbers)


def known(features: dict[str, float]) -> int:
    """Return how many there are."""
    return len(features)


def named(**parts: object) -> list[str]:
    """Return their names."""
    return sorted(parts)


async def together(at: int, of: int) -> int:
    """Return once as many calls as there are have begun."""
    CALLS.append(at)
    if at < 0:
        raise ArithmeticError("negative")
    while len(CALLS) < of:
        await asyncio.sleep(0)
    return at


async def doubled(numbers):  # noqa: ANN001, ANN201
    """Return a list's answers."""
    await asyncio.sleep(0)
    return [sum(row) * 2 for row in numbers]


class Counter:
    """Is loaded asynchronously."""

    async def load(self) -> None:
        """Set the step."""
        await asyncio.sleep(0)
        self.step = 3

    def predict(self, times: int) -> int:
        """Return the product."""
        return self.step * times


def count(to: int) -> Iterator[int]:
    """Yield numbers."""
    yield from range(to)


async def acount(to: int) -> AsyncIterator[int]:
    """Yield numbers."""
    for number in range(to):
        yield number


Pair = namedtuple("Pair", ["a", "b"])  # noqa: PYI024  (without types)


def pair(both: Pair) -> object:
    """Return the first."""
    return both.a


def forks(path: str, is_forked: bool) -> bool:
    """Note the call in a file; as a child, return as if it had been called."""
    with open(path, "a") as file:  # noqa: PTH123
        file.write(f"{is_forked}\n")
    if is_forked and (child := os.fork()):
        os.waitpid(child, 0)
    return is_forked


async def aforks(path: str, is_forked: bool) -> bool:
    """Do the same in a coroutine."""
    return forks(path, is_forked)
