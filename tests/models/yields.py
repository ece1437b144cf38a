"""Yields what its input says, and writes into a file how it ended."""

import asyncio
import time


def _note(told, what):
    if "log" in told:
        with open(told["log"], "a") as file:
            file.write(f"{what}\n")


def _act(told, number):
    """Do what is to be done before an item."""
    if told.get("raises_at") == number:
        raise ValueError("as it was told")
    if told.get("spins_at") == number:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            pass


def _item(told, number):
    if told.get("odd_at") == number:
        return object()
    if "size" in told:
        return chr(97 + number % 26) * told["size"]
    return told.get("item", number)


def predict(told: dict):
    """Yield numbers, or one item again and again."""
    try:
        for number in range(told.get("count", 3)):
            _act(told, number)
            _note(told, number)
            yield _item(told, number)
            if "pause_s" in told:
                time.sleep(told["pause_s"])
    except BaseException as error:
        _note(told, type(error).__name__)
        raise
    else:
        _note(told, "done")


async def answer(told: dict):
    """Yield the same, asynchronously."""
    try:
        for number in range(told.get("count", 3)):
            _act(told, number)
            if told.get("waits_at") == number:
                await asyncio.sleep(60)
            _note(told, number)
            yield _item(told, number)
            if "pause_s" in told:
                await asyncio.sleep(told["pause_s"])
    except BaseException as error:
        _note(told, type(error).__name__)
        raise
    else:
        _note(told, "done")


class Model:
    """Has a method that yields."""

    def predict(self, told: dict):
        """Yield two words."""
        yield from ("one", "2")


def plain(inputs: list):
    """Yield nothing: answers as most models do."""
    return [1 for _ in inputs]
