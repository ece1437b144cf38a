"""A replica's life, in a thread of the test, spoken to as a frontend does."""

import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from model_runtime import __main__ as entry
from model_runtime import contract, loop, manifest, protocol
from model_runtime.connection import ReplicaSocket, Work
from model_runtime.content import Content
from model_runtime.inputs import Batch
from model_runtime.loop import EXIT_LOAD_FAILED, Options, Replica, merge, take_mergeable
from model_runtime.manifest import Manifest
from model_runtime.refusals import Failed, PartlyFailedError

MODELS = Path(__file__).parents[2] / "models"
TIMEOUT_S = 20


@pytest.fixture(autouse=True)
def _clean_imports():
    """Leave the import system as it was."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if "/files/" in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def doubles(*numbers):
    """Return the row of some numbers."""
    return struct.pack(f"<{len(numbers)}d", *numbers)


class Running:
    """A replica in a thread."""

    def __init__(self, folder, model, **options):
        self.bundle = bundle = folder / "bundle"
        (bundle / "files").mkdir(parents=True)
        shutil.copy(MODELS / f"{model}.py", bundle / "files")
        made = {"object": "predict"} | options.pop("made", {})
        manifest.write(
            Manifest(loader="python", file=f"{model}.py", kind="function", **made), bundle
        )
        self.stop = threading.Event()
        self.status = None
        self.idles = []
        given = {"max_batch": -1, "orphan_timeout_s": None, "predict_timeout_s": 60.0} | options
        self.options = Options(
            listen=f"ipc://{folder}/r.sock",
            bundle=bundle,
            model="m",
            version="1",
            replica=0,
            **given,
        )
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        idle = self.idles.append
        replica = Replica(self.options, self.stop.is_set, on_idle=lambda: idle(time.monotonic()))
        self.status = replica.run()

    def end(self):
        """Tell it to stop, and return its exit status."""
        self.stop.set()
        self.thread.join(TIMEOUT_S)
        return self.status


@contextmanager
def running(model, **options):
    """Yield a replica of a model from tests/models."""
    with tempfile.TemporaryDirectory(prefix="sv-") as folder:
        replica = Running(Path(folder), model, **options)
        try:
            yield replica
        finally:
            replica.end()


@contextmanager
def frontend(replica, version=1):
    """Yield a function that waits for a message of some kind, and a DEALER."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RCVTIMEO, TIMEOUT_S * 1000)
        dealer.connect(replica.options.listen)
        dealer.send(protocol.pack_header([protocol.HELLO, version, "test"]))

        def wait_for(kind, state=None):
            while True:
                header, *payload = dealer.recv_multipart()
                header = protocol.unpack_header(header)
                if header[0] == kind and state in (None, header[2]):
                    return header, payload

        yield dealer, wait_for


def ask(dealer, batch_id, *rows):
    """Send a batch."""
    lengths, data = protocol.join_rows(rows)
    header = protocol.pack_header([protocol.PREDICT, batch_id, protocol.DOUBLES, len(rows)])
    dealer.send_multipart([header, data, lengths] if lengths else [header, data])


def test_a_model_is_loaded_tested_and_answers():
    """STATE leads to ready; then each batch has its outputs; told to stop it ends with 0."""
    with running("good") as replica, frontend(replica) as (dealer, wait_for):
        _, _, state, info = wait_for(protocol.STATE, protocol.READY)[0]
        assert state == protocol.READY
        assert info["input_type"] == "doubles"
        assert info["pid"] == os.getpid()
        assert info["bundle"] == Content(replica.bundle).digest()
        ask(dealer, 1, doubles(1.0, 2.0), doubles(3.0))
        header, payload = wait_for(protocol.RESULT)
        assert header[:3] == [protocol.RESULT, 1, 2]
        assert payload == [b"3.0\n3.0"]
        replica.stop.set()
        ask(dealer, 2, doubles(4.0))
        assert wait_for(protocol.RESULT)[1] == [b"4.0"]
        assert replica.end() == 0


def test_each_phase_of_a_load_is_told_and_timed(monkeypatch):
    """A front end hears that it loads, then that it is tested; READY says how long both took."""
    monkeypatch.setenv("SLOW_PREDICT_S", "0.7")
    began_s = time.monotonic()
    with running("slow_predict") as replica, frontend(replica) as (_dealer, wait_for):
        wait_for(protocol.STATE, protocol.TESTING)
        info = wait_for(protocol.STATE, protocol.READY)[0][3]
        took_ms = (time.monotonic() - began_s) * 1000
        assert 1400 <= info["load_ms"] <= took_ms


def test_who_waits_for_idle_moments_hears_of_each():
    """Once when the model has loaded, then whenever nothing has come for a moment."""
    with running("good") as replica, frontend(replica) as (_dealer, wait_for):
        wait_for(protocol.STATE, protocol.READY)
        assert replica.idles  # before it was said to be ready
        deadline_s = time.monotonic() + TIMEOUT_S
        while len(replica.idles) < 4:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)


def test_a_batch_that_raises_is_a_failure(capfd):
    """The reason goes to the frontend, each error's traceback to the log once, not every time."""
    with running("poison") as replica, frontend(replica) as (dealer, wait_for):
        wait_for(protocol.STATE, protocol.READY)
        ask(dealer, 1, doubles(-1.0), doubles(1.0))
        assert "negative number -1.0" in wait_for(protocol.FAILURE)[0][2]
        for batch_id in range(2, 6):
            ask(dealer, batch_id, doubles(-1.0 - batch_id % 2))
            wait_for(protocol.FAILURE)
        replica.end()
    log = capfd.readouterr().err
    assert log.count("Traceback") == 2
    assert "negative number -1.0" in log
    assert "negative number -2.0" in log


def rows_of(dealer, batch_id, *rows):
    """Send a batch of rows."""
    lengths, data = protocol.join_rows(rows)
    header = protocol.pack_header([protocol.PREDICT, batch_id, protocol.ROWS, len(rows)])
    dealer.send_multipart([header, data, lengths] if lengths else [header, data])


def test_inputs_that_fail_by_themselves_are_told_beside_the_outputs(capfd):
    """With their places. To who does not know of such the batch fails, to be asked for in parts."""
    made = {"object": "course", "input_type": "auto"}
    with running("once", made=made) as replica:
        with frontend(replica, 2) as (dealer, wait_for):
            info = wait_for(protocol.STATE, protocol.READY)[0][3]
            assert info["signature"]["call"] == "each"
            rows_of(dealer, 7, b"[1,2]", b'["x",0]', b"[-1,0]", b"[99,0]", b"[3,4]")
            header, payload = wait_for(protocol.PARTIAL)
            assert header[1:3] == [7, 5]
            words = 'wanted a whole number, found the text "x"'
            fault = {"loc": ["feature_1"], "msg": words, "type": "int_type"}
            assert header[4] == [
                [1, f"feature_1: {words}", "input", [fault]],
                [2, "ArithmeticError: negative"],
                [3, header[4][2][1], "output"],
            ]
            assert payload == [b'{"tens":12}\n{"tens":34}']
            rows_of(dealer, 8, b'["x",0]')
            assert wait_for(protocol.FAILURE)[0][2:] == header[4][0][1:]
        with frontend(replica, 1) as (dealer, wait_for):
            wait_for(protocol.STATE, protocol.READY)
            rows_of(dealer, 9, b"[1,2]", b"[-1,0]")
            assert wait_for(protocol.FAILURE)[0][1:] == [9, "ArithmeticError: negative"]
    log = capfd.readouterr()
    assert "ArithmeticError: negative" in log.err
    assert "no output: " in log.err
    assert "InputError" not in log.err


def test_an_error_is_in_the_log_once_a_second(monkeypatch, capfd):
    """Of different ones so many: a model that fails on every input must not fill the disk."""
    now_s = 100.0
    clock = SimpleNamespace(monotonic=lambda: now_s, perf_counter=time.perf_counter)
    hears = SimpleNamespace(lent=nullcontext, fail=lambda *_given, **_more: None)
    with running("good") as replica:
        made = Replica(replica.options, lambda: True)

    def raises(words):
        def predict(_batch):
            raise ValueError(words)

        made._predict_alone(hears, Work(b"a", 1, Batch(3, b"", doubles(1.0), 1)), predict)
        return capfd.readouterr().err.count("Traceback")

    monkeypatch.setattr(loop, "time", clock)
    capfd.readouterr()
    assert [raises("one"), raises("one"), raises("two")] == [1, 0, 1]
    now_s = 100.75
    assert [raises("one"), raises("three")] == [0, 1]
    now_s = 101.0
    assert [raises("one"), raises("one")] == [1, 0]
    told = sum(raises(f"number {number}") for number in range(100))
    assert told == loop.TRACEBACKS_PER_S - 1


def test_an_output_that_is_none_is_no_exception(capfd):
    """What the model returned is told as that, to the frontend and once in the log."""
    said = "the model returned a value of type object, which JSON cannot say: return numbers"
    with running("unserialisable_on_negative") as replica, frontend(replica) as (dealer, wait_for):
        wait_for(protocol.STATE, protocol.READY)
        for batch_id in range(1, 4):
            ask(dealer, batch_id, doubles(-1.0))
            header, _ = wait_for(protocol.FAILURE)
            assert header[2].startswith(said)
            assert header[3:] == [protocol.BAD_OUTPUT]
        replica.end()
    log = capfd.readouterr().err
    assert log.count(f"no output: {said}") == 1
    assert "Traceback" not in log


def test_a_model_that_does_not_load_says_why(monkeypatch):
    """The first frontend hears of the failure, and the exit status is 3."""
    monkeypatch.setattr(loop, "REPORT_S", TIMEOUT_S)
    with running("import_error") as replica, frontend(replica) as (_dealer, wait_for):
        header, _ = wait_for(protocol.STATE, protocol.FAILED)
        assert "ModuleNotFoundError" in header[3]["error"]["message"]
        replica.thread.join(TIMEOUT_S)
        assert replica.status == EXIT_LOAD_FAILED


def test_a_failed_load_is_in_the_log_and_waits_for_who_asks(monkeypatch, capfd):
    """The traceback is printed; without a front end it ends after a while, with one at once."""
    monkeypatch.setattr(loop, "REPORT_S", 0.5)
    began_s = time.monotonic()
    with running("import_error") as replica:
        replica.thread.join(TIMEOUT_S)
        assert replica.status == EXIT_LOAD_FAILED
        assert time.monotonic() - began_s >= loop.REPORT_S
    assert "ModuleNotFoundError" in capfd.readouterr().err


def test_a_drain_ends_soon_after_the_last_message():
    """It is over when nothing has come for a moment: not at its limit, and not at once."""
    with running("good") as replica, frontend(replica) as (dealer, wait_for):
        wait_for(protocol.STATE, protocol.READY)
        began_s = time.monotonic()
        replica.stop.set()
        wait_for(protocol.STATE, protocol.DRAINING)
        for batch_id in range(3):
            ask(dealer, batch_id, doubles(4.0))
            assert wait_for(protocol.RESULT)[0][1] == batch_id
        assert replica.end() == 0
        took_s = time.monotonic() - began_s
        assert loop.DRAIN_QUIET_S <= took_s < loop.DRAIN_LIMIT_S / 3


@pytest.mark.parametrize(("model", "pause_s"), [("slow_predict", 0.0), ("good", 0.05)])
def test_a_drain_has_a_limit_for_front_ends_that_do_not_stop(monkeypatch, model, pause_s):
    """One that goes on sending is answered for so long, and then left; pauses count as work."""
    monkeypatch.setattr(loop, "DRAIN_LIMIT_S", 0.3)
    with running(model) as replica, frontend(replica) as (dealer, wait_for):
        wait_for(protocol.STATE, protocol.READY)
        replica.stop.set()
        answered = 0
        dealer.setsockopt(zmq.RCVTIMEO, 1000)
        with suppress(zmq.Again):  # it has gone
            while answered < 50:
                ask(dealer, answered, doubles(0.0))
                wait_for(protocol.RESULT)
                answered += 1
                time.sleep(pause_s)
        assert 1 < answered < 50
        assert replica.end() == 0


def test_a_replica_without_a_frontend_ends():
    """An orphan, which nobody speaks to for so long, drains and ends."""
    with running("good", orphan_timeout_s=0.0) as replica:
        replica.thread.join(TIMEOUT_S)
        assert replica.status == 0


@pytest.mark.parametrize(
    ("waits_s", "looks"),
    [
        ([0.25] * 40, 21),
        # Stopped, or held up: nobody can have been heard then.
        ([0.25] * 10 + [3600.0] + [0.25] * 20, 21),
    ],
    ids=["silence", "stopped"],
)
def test_only_silence_makes_an_orphan(monkeypatch, waits_s, looks):
    """A time in which the replica itself stood still does not count."""
    now_s = 100.0
    left_s = list(waits_s)
    socket = SimpleNamespace(last_heard_s=now_s)

    def receive():
        nonlocal now_s
        now_s += left_s.pop(0)
        return False

    def excuse(missed_s):
        socket.last_heard_s += missed_s

    socket.receive, socket.excuse = receive, excuse
    with running("good", orphan_timeout_s=5.0) as replica:
        made = Replica(replica.options, lambda: not left_s)
        replica.end()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now_s))
    made._serve(socket, None)
    assert len(waits_s) - len(left_s) == looks


def test_all_that_is_pending_is_worked_off_at_once():
    """Whatever became of what was before it; the socket is lent for each call and taken back."""
    works = [
        Work(frontend, number, Batch(3, b"", doubles(float(value)), 1))
        for number, (frontend, value) in enumerate([(b"a", 1), (b"b", 2), (b"a", -3), (b"a", 4)])
    ]
    told = []

    def predict(batch):
        told.append("call")
        numbers = struct.unpack(f"<{batch.count}d", batch.data)
        if min(numbers) < 0:
            raise ValueError("negative")
        return [str(number).encode() for number in numbers]

    @contextmanager
    def lent():
        told.append("lend")
        yield
        told.append("take back")

    socket = SimpleNamespace(
        pending=deque(works),
        lend=lambda: told.append("lend"),
        take_back=lambda: told.append("take back"),
        lent=lent,
        reply=lambda work, outputs, _us: told.append((work.batch_id, [*outputs])),
        fail=lambda work, _text, **_more: told.append((work.batch_id, None)),
    )
    with running("good") as replica:
        made = Replica(replica.options, lambda: True)
    made._work(socket, SimpleNamespace(predictor=SimpleNamespace(predict=predict)))
    a_call = ["lend", "call", "take back"]
    merged = [*a_call, (0, [b"1.0"]), (1, [b"2.0"])]
    assert told == [*merged, *a_call, (2, None), *a_call, (3, [b"4.0"])]


def test_batches_of_two_frontends_are_merged():
    """Two frontends' batches in one call are answered apart; a poisoned one fails alone."""
    with running("poison") as replica:
        made = Replica(replica.options, lambda: True)
        batches = [Batch(3, b"", doubles(number), 1) for number in (1.0, -2.0)]
        good, bad = Work(b"a", 1, batches[0]), Work(b"b", 2, batches[1])
        heard = []

        class Socket:
            """Hears what the loop answers."""

            @contextmanager
            def lent(self):
                yield

            def reply(self, work, outputs, _compute_us):
                heard.append((work.batch_id, outputs))

            def fail(self, work, told):
                assert not told.cause
                heard.append((work.batch_id, told.reason))

        def predict(batch):
            rows = protocol.split_rows(batch.lengths, batch.data, batch.count)
            if doubles(-2.0) in rows:
                raise ValueError("negative")
            return [b"1"] * batch.count

        made._predict_merged(Socket(), [good, bad], predict)
        assert heard == [(1, [b"1"]), (2, "ValueError: negative")]
        heard.clear()
        made._predict_merged(Socket(), [good, Work(b"c", 3, batches[0])], predict)
        assert heard == [(1, [b"1"]), (3, [b"1"])]


def test_of_a_merged_batch_each_frontend_hears_of_its_own_failures():
    """What failed by itself is told to who asked; nobody's inputs are computed again."""
    told = []
    calls = []

    class Socket:
        @contextmanager
        def lent(self):
            yield

        def reply(self, work, outputs, _compute_us):
            told.append((work.batch_id, outputs))

        def reply_partly(self, work, outcomes, _compute_us):
            told.append((work.batch_id, [getattr(each, "reason", each) for each in outcomes]))

    def predict(batch):
        calls.append(batch.count)
        raise PartlyFailedError([b"1", Failed(ValueError("no")), b"3"])

    works = [
        Work(b"a", 1, Batch(protocol.ROWS, b"", b"[1]", 1)),
        Work(b"b", 2, Batch(protocol.ROWS, b"", b"[2][3]", 2)),
    ]
    replica = Replica(SimpleNamespace(), lambda: True)
    replica._predict_merged(Socket(), works, predict)
    assert told == [(1, [b"1"]), (2, ["ValueError: no", b"3"])]
    assert calls == [3]


def test_a_merged_batch_knows_which_outputs_may_be_raw():
    """Those of who asked; of who did not, none."""
    asked, plain = Batch(3, b"", doubles(1.0, 2.0), 2, b"\1\0"), Batch(3, b"", doubles(3.0), 1)
    assert merge([plain, asked, plain]).wanted == b"\0\1\0\0"
    assert merge([plain, plain]).wanted == b""


@pytest.mark.parametrize(
    ("frontends", "types", "max_batch", "count"),
    [
        ("ab", (3, 3), -1, 2),
        ("aa", (3, 3), -1, 1),
        ("ab", (3, 4), -1, 1),
        ("ab", (3, 3), 3, 1),
        ("ab", (3, 3), 4, 2),
        ("abb", (3, 3, 3), -1, 2),
        ("abc", (3, 3, 3), -1, 3),
    ],
)
def test_what_may_be_merged(frontends, types, max_batch, count):
    """Batches of different frontends and one type, up to the version's maximum."""
    pending = deque(
        Work(name.encode(), n, Batch(kind, b"", b"", 2))
        for n, (name, kind) in enumerate(zip(frontends, types, strict=True))
    )
    assert len(take_mergeable(pending, max_batch)) == count
    assert len(pending) == len(frontends) - count


WORKS = st.builds(
    lambda name, kind, count: Work(name, 0, Batch(kind, b"", b"", count)),
    st.sampled_from("abcd"),
    st.sampled_from([3, 3, 3, 4]),
    st.integers(1, 5),
)


@given(st.lists(WORKS, min_size=1, max_size=8), st.integers(-1, 12))
def test_what_is_taken_is_the_longest_run_that_may_be_merged(works, max_batch):
    """From the first on: other frontends' batches, of its type, up to the maximum in all."""
    pending = deque(works)
    taken = take_mergeable(pending, max_batch)
    assert taken == works[: len(taken)]
    assert list(pending) == works[len(taken) :]

    def may_be_merged(run):
        rows = sum(work.batch.count for work in run)
        return (
            len({work.frontend for work in run}) == len(run)
            and len({work.batch.input_type for work in run}) == 1
            and (max_batch <= 0 or rows <= max_batch)
        )

    longest = 1
    while longest < len(works) and may_be_merged(works[: longest + 1]):
        longest += 1
    assert len(taken) == longest


def test_a_merge_keeps_rows_and_order():
    """The rows of all batches in their order, of whatever lengths."""
    one = Batch(3, b"", doubles(1.0, 2.0), 2)
    two = Batch(3, struct.pack("<2I", 0, 16), doubles(3.0, 4.0), 2)
    merged = merge([one, two])
    rows = protocol.split_rows(merged.lengths, merged.data, merged.count)
    assert rows == [doubles(1.0), doubles(2.0), b"", doubles(3.0, 4.0)]


def test_the_command_line(monkeypatch, tmp_path):
    """The arguments become options, SIGTERM the wish to stop; a missing bundle is status 3."""
    listen = f"ipc://{tempfile.mkdtemp(prefix='sv-')}/r.sock"
    arguments = ["--listen", listen, "--bundle", str(tmp_path), "--model", "m", "--version", "1"]
    monkeypatch.setattr(sys, "argv", ["model_runtime", *arguments, "--orphan-timeout", "1.5"])
    monkeypatch.setattr(loop, "REPORT_S", 0.0)
    monkeypatch.delenv("SERVD_PARENT_PID", raising=False)
    options = entry._options()
    assert (options.bundle, options.max_batch, options.orphan_timeout_s) == (tmp_path, -1, 1.5)
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert entry.main() == EXIT_LOAD_FAILED
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def test_a_replica_whose_parent_is_gone_does_not_start(monkeypatch):
    """The parent that died before the death signal was set is noticed."""
    asked = []
    monkeypatch.setattr("ctypes.CDLL", lambda *_a, **_k: Libc(asked))
    contract.die_with_parent(os.getppid())
    assert asked == [(contract._PR_SET_PDEATHSIG, signal.SIGKILL)]
    with pytest.raises(SystemExit, match=r"^1$"):
        contract.die_with_parent(1 if os.getppid() != 1 else 2)


class Libc:
    """Keeps what is asked of prctl: the test's own process must not get a death signal."""

    def __init__(self, asked):
        self.asked = asked

    def prctl(self, *given):
        """Keep the arguments."""
        self.asked.append(given)


def test_probers_are_answered_where_the_launcher_says():
    """A replica that is ready says so over HTTP; without an address nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (
        running("good", health=f"127.0.0.1:{port}") as replica,
        frontend(replica) as (_dealer, wait_for),
    ):
        wait_for(protocol.STATE, protocol.READY)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
            assert answer.read() == b"ready\n"


def test_the_address_for_probers_is_checked(monkeypatch, capsys):
    """A wrong one is an error in the command line."""
    monkeypatch.setattr(sys, "argv", ["m", "--health", "7001"])
    with pytest.raises(SystemExit) as ended:
        entry._options()
    assert ended.value.code == 2
    assert "7001" in capsys.readouterr().err


def test_it_listens_on_ipv6_too():
    """Where the address stands in brackets."""
    with ReplicaSocket("tcp://[::1]:*", {}) as listening:
        assert b"[::1]" in listening._carrier._socket.LAST_ENDPOINT  # type: ignore[attr-defined]
