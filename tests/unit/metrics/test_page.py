"""Metrics are rendered in slices, and not for each who asks."""

import asyncio
import time

import pytest

from servd.datatypes import Application, InputType, ModelVersion, RegistryState
from servd.engine.engine import Engine
from servd.metrics.exposition import json_metrics, prometheus_metrics
from servd.metrics.page import FRESH_S, MAX_RENDERED, SLICE_S, MetricsPage


class MetricsSource:
    """A clock that a rendering moves on by itself."""

    def __init__(self):
        self.now_s = 0.0

    def clock(self):
        """Return the time."""
        return self.now_s


class Waiter:
    """Keeps what it is told."""

    def __init__(self):
        self.told = []
        self.on_page = self.told.append
        self.on_fault = self.told.append


def page_of(pieces, piece_s, error=None):
    """Return a page whose text counts renderings and takes so many pieces, and its figures."""
    figures, made = MetricsSource(), []

    def render(_figures):
        for _ in range(pieces):
            figures.now_s += piece_s
            yield
        made.append(b"%d" % len(made))
        if error is not None:
            raise error
        return made[-1]

    return MetricsPage(render, figures), figures, made


def test_a_short_text_is_there_at_once_and_new():
    """Who asks now and then gets what is true now."""
    page, figures, _ = page_of(1, 0)
    for number in range(50):
        waiter = Waiter()
        page.ask(waiter)
        assert waiter.told == [b"%d" % number]
        figures.now_s += 0.11


def test_ten_times_a_second_at_most():
    """Who asks more often gets the text of before."""
    page, figures, made = page_of(1, 0)
    for _ in range(30):
        before = len(made)
        for _ in range(100):
            page.ask(Waiter())
        assert len(made) - before <= MAX_RENDERED
        figures.now_s += 0.5
    assert len(made) <= MAX_RENDERED * 16


def test_who_looks_all_the_time_sees_what_has_changed():
    """No text that is handed out is older than a tenth of a second, however often one asks."""
    page, figures, _ = page_of(1, 0)
    changed_s, oldest_s = {b"0": 0.0}, 0.0
    for _ in range(1000):
        waiter = Waiter()
        page.ask(waiter)
        (text,) = waiter.told
        oldest_s = max(oldest_s, figures.now_s - changed_s.setdefault(text, figures.now_s))
        figures.now_s += 0.007
    assert oldest_s <= FRESH_S
    assert len(changed_s) <= 7 * MAX_RENDERED


def test_a_text_that_takes_long_is_rendered_less_often():
    """Whoever asks without end has no more than a fifth of the time spent on it."""
    page, figures, made = page_of(2, 0.0)
    render = page._render

    def slow(given):
        figures.now_s += 0.3
        return render(given)

    page._render = slow
    while figures.now_s < 100:
        page.ask(Waiter())
        figures.now_s += 0.01
    assert 50 < len(made) <= 67


def test_a_long_text_leaves_turns_to_others():
    """It is rendered in slices; all who ask meanwhile get the one text."""
    page, _, made = page_of(100, SLICE_S / 4)

    async def main():
        waiters = [Waiter() for _ in range(3)]
        turns = 0
        for waiter in waiters:
            page.ask(waiter)
        while not waiters[-1].told:
            await asyncio.sleep(0)
            turns += 1
        assert 20 <= turns <= 30
        assert [waiter.told for waiter in waiters] == [[b"0"]] * 3
        assert len(made) == 1

    asyncio.run(main())


def test_a_fault_is_told_to_all_who_wait():
    """It does not keep anybody waiting, nor the next from asking."""
    error = RuntimeError("ours")
    page, _, _ = page_of(3, SLICE_S, error)

    async def main():
        waiters = [Waiter() for _ in range(3)]
        for waiter in waiters:
            page.ask(waiter)
        await asyncio.sleep(0.01)
        assert [waiter.told for waiter in waiters] == [[error]] * 3
        with pytest.raises(RuntimeError, match="ours"):
            await page.text()

    asyncio.run(main())


def many_applications(engine, count):
    """Give an engine applications that all have been used."""
    applications, versions = {}, {}
    for number in range(count):
        name = f"app-{number}"
        applications[name] = Application(name=name, input_type=InputType.ANY, slo_us=1000)
        version = ModelVersion(model=f"m{number}", version="1", input_type=InputType.ANY)
        versions[version.id] = version
    engine.apply(RegistryState(applications, versions))
    for route, dispatcher in zip(engine.by_name.values(), engine.dispatchers.values(), strict=True):
        for value in (10, 300, 2000, 70_000):
            route.counters.answered(value)
            dispatcher.counters.latency.add(value)
            dispatcher.counters.batch_size.add(value % 100)


@pytest.mark.parametrize("render", [json_metrics, prometheus_metrics])
def test_no_slice_is_long(render):
    """With 2,000 applications that all were used, no step of the work takes long."""
    engine = Engine(0)
    engine.context.term()
    many_applications(engine, 2000)
    longest_s = total_s = 0.0
    rendering = render(engine)
    while True:
        began_s = time.process_time()
        try:
            next(rendering)
        except StopIteration:
            break
        finally:
            took_s = time.process_time() - began_s
            longest_s, total_s = max(longest_s, took_s), total_s + took_s
    assert longest_s < 0.02
    assert total_s < 1.0
