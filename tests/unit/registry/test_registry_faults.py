"""Registry and store by random changes, with SQLite failing at any statement and at the COMMIT.

Whatever fails: a change is wholly there or not at all, in memory, in the open database, and in one
that is opened anew; and the next change is taken.
"""

import asyncio
import functools
import shutil
import sqlite3
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from servd.datatypes import Application, InputType, ModelVersion, RegistryState
from servd.errors import ServdError, StoreError
from servd.registry import store
from servd.registry.registry import Registry
from servd.registry.store import Store
from servd.registry.witness import Witness
from tests.registered import app

NAMES = st.sampled_from(["a", "b", "c"])
MODELS = st.sampled_from(["m", "n"])
VERSIONS = st.sampled_from(["1", "2", "3"])
TYPES = st.sampled_from([InputType.DOUBLES, InputType.STRINGS])
FAULTS = st.one_of(st.none(), st.integers(0, 7), st.just("COMMIT"))
"""Which statement of a change fails: none, the so-and-so-many-th, or the one that ends it."""


class Failing(sqlite3.Connection):
    """A connection whose statements fail as `plan` says; a disk error that ends no transaction."""

    plan: "Plan | None" = None

    def execute(self, statement, *parameters):
        """Run a statement, or fail before it is run, or behind it."""
        plan = Failing.plan
        if plan is not None and plan.fails(statement):
            if plan.is_behind and statement not in ("COMMIT", "ROLLBACK"):
                super().execute(statement, *parameters)
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(statement, *parameters)


class Plan:
    """Which statement is to fail, and whether the rollback fails too."""

    def __init__(self, fault, *, is_behind, is_rollback_too):
        self._fault = fault
        self.is_behind = is_behind
        self._is_rollback_too = is_rollback_too
        self._count = 0
        self.has_failed = False

    def fails(self, statement):
        """Return whether this statement is the one."""
        if statement == "ROLLBACK":
            return self.has_failed and self._is_rollback_too
        is_it = self._fault in (statement, self._count)
        self._count += 1
        self.has_failed = self.has_failed or is_it
        return is_it


def app_of(name, kind, slo_us=1000):
    """Return an application."""
    return Application(name=name, input_type=kind, slo_us=slo_us, default_output=None)


def version_of(model, version, kind, replicas=1):
    """Return a version with files."""
    return ModelVersion(
        model=model, version=version, input_type=kind, bundle="ab" * 16, replicas=replicas
    )


def in_order(state: RegistryState):
    """Return a state so that the order of its things counts."""
    fields = (getattr(state, name) for name in RegistryState.__struct_fields__)
    return [list(field.items()) if isinstance(field, dict) else field for field in fields]


class Faults(RuleBasedStateMachine):
    """Changes of a registry; after each the three views are compared."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        # In memory, where there is such a place: each change is synced twice.
        place = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="servd-test-", dir=place))
        self.changes = 0
        self.unmerged = False
        self.connect = sqlite3.connect
        store.sqlite3.connect = functools.partial(sqlite3.connect, factory=Failing)
        self.open()

    def run(self, work):
        """Run to the end."""
        return self.loop.run_until_complete(work)

    def open(self):
        """Open the database and read the registry."""
        self.note = Witness(self.folder / "registry.json", lambda: 0)
        self.store = Store(self.folder / "r.db", self.note)
        self.run(self.store.__aenter__())
        self.registry = Registry(self.store)
        self.run(self.registry.load())

    def close(self):
        """Close the database."""
        self.run(self.store.__aexit__(None, None, None))

    def teardown(self):
        """Leave nothing."""
        Failing.plan = None
        self.close()
        store.sqlite3.connect = self.connect
        self.loop.close()
        shutil.rmtree(self.folder)

    def change(self, work, fault):
        """Make a change while a statement fails; check what became of it."""
        before = self.registry.state
        plan = Plan(fault[0], is_behind=fault[1], is_rollback_too=fault[2])
        Failing.plan = plan
        error = self.outcome(work)
        # A rule refuses before anything is written; the store refuses what failed.
        assert isinstance(error, StoreError) is plan.has_failed
        if error is not None:
            assert self.registry.state is before
        else:
            self.changes += 1
        if error is None or plan.has_failed:
            self.unmerged = plan.has_failed and fault[2]

    def outcome(self, work):
        """Return with which error a change ended, if it did."""
        try:
            self.run(work)
        except ServdError as error:
            return error
        finally:
            Failing.plan = None
        return None

    faults = st.tuples(FAULTS, st.booleans(), st.booleans())

    @rule(name=NAMES, kind=TYPES, models=st.lists(MODELS, max_size=1), fault=faults)
    def add_application(self, name, kind, models, fault):
        """Add an application, linked to a model or not."""
        self.change(self.registry.add_application(app_of(name, kind), models), fault)

    @rule(name=NAMES, kind=TYPES, slo_us=st.integers(1, 9), model=MODELS, fault=faults)
    def put_application(self, name, kind, slo_us, model, fault):
        """Add or replace an application that is linked to a model."""
        self.change(self.registry.put_application(app_of(name, kind, slo_us), model), fault)

    @rule(name=NAMES, fault=faults)
    def remove_application(self, name, fault):
        """Remove an application."""
        self.change(self.registry.remove_application(name), fault)

    @rule(name=st.one_of(st.none(), NAMES), fault=faults)
    def set_default(self, name, fault):
        """Choose a default application, or none."""
        self.change(self.registry.set_default(name), fault)

    @rule(model=MODELS, version=VERSIONS, kind=TYPES, fault=faults)
    def add_version(self, model, version, kind, fault):
        """Add a version."""
        self.change(self.registry.add_version(version_of(model, version, kind)), fault)

    @rule(model=MODELS, version=VERSIONS, replicas=st.integers(0, 3), fault=faults)
    def set_current(self, model, version, replicas, fault):
        """Move the pointer of a model, with another number of replicas."""
        self.change(self.registry.set_current(model, version, replicas=replicas), fault)

    @rule(model=MODELS, version=VERSIONS, replicas=st.integers(0, 3), fault=faults)
    def set_replicas(self, model, version, replicas, fault):
        """Scale a version."""
        self.change(self.registry.set_replicas(model, version, replicas), fault)

    @rule(model=MODELS, version=VERSIONS, fault=faults)
    def remove_version(self, model, version, fault):
        """Remove a version."""
        self.change(self.registry.remove_version(model, version), fault)

    @rule(model=MODELS, fault=faults)
    def remove_model(self, model, fault):
        """Remove a model."""
        self.change(self.registry.remove_model(model), fault)

    @rule(name=NAMES, model=MODELS, is_link=st.booleans(), fault=faults)
    def link(self, name, model, is_link, fault):
        """Link or unlink."""
        call = self.registry.add_link if is_link else self.registry.remove_link
        self.change(call(name, model), fault)

    @rule(
        model=MODELS, version=VERSIONS, kind=TYPES, name=st.one_of(st.none(), NAMES), fault=faults
    )
    def deploy(self, model, version, kind, name, fault):
        """Commit a deployment with its application, all in one."""
        app = app_of(name, kind) if name else None
        self.change(self.registry.commit_deploy(version_of(model, version, kind), app), fault)

    @rule()
    def begin_anew(self):
        """Close and open: what is read is what was in memory."""
        before = self.registry.state
        self.close()
        self.open()
        assert self.store.is_whole
        assert self.registry.state == before
        self.unmerged = False

    @invariant()
    @precondition(lambda self: not self.unmerged)
    def the_open_database_agrees(self):
        """What is on the disk is what is in memory, things in the same order."""
        assert in_order(self.run(self.store.load())) == in_order(self.registry.state)

    @invariant()
    def the_note_counts_what_was_acknowledged(self):
        """Each change once, and no failed one."""
        assert self.note.read().changes == self.changes


Faults.TestCase.settings = settings(
    max_examples=settings.default.max_examples // 2,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestFaults = Faults.TestCase
TestFaults.__doc__ = "A change that fails anywhere is nowhere, and the next one is taken."


def test_what_is_acknowledged_is_on_the_disk(tmp_path):
    """As a power cut demands it: a log, synced at each commit, by one owner."""

    async def pragmas():
        async with Store(tmp_path / "r.db") as opened:
            connection = opened._connection
            assert connection is not None

            def values():
                names = ("synchronous", "journal_mode", "locking_mode", "foreign_keys")
                return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

            return await opened._run(values)

    assert asyncio.run(pragmas()) == [2, "wal", "exclusive", 1]


def test_a_text_that_is_not_unicode_costs_one_change(tmp_path):
    """What cannot be written leaves no transaction open: the next change is taken."""

    async def story():
        async with Store(tmp_path / "r.db") as opened:
            registry = Registry(opened)
            bad = msgspec.structs.replace(app_of("a", InputType.ANY), default_output="\udc80")
            with pytest.raises(StoreError, match="nothing was changed"):
                await registry.add_application(bad)
            await registry.add_application(app_of("b", InputType.ANY))
            return await opened.load()

    assert list(asyncio.run(story()).applications) == ["b"]


def test_a_write_that_has_failed_before_anybody_waits_changes_nothing():
    """As where whoever waits for it is cancelled in the turn in which it fails."""

    class FullDisk:
        """A store whose writes fail at once."""

        def write(self, _changes):
            """Return how it ended."""
            ended = asyncio.get_running_loop().create_future()
            ended.set_exception(StoreError("the disk is full"))
            return ended

    async def main():
        registry = Registry(FullDisk())
        told = []
        registry.subscribe(lambda *states: told.append(states))
        with pytest.raises(StoreError, match="the disk is full"):
            await registry.add_application(app())
        assert not told
        assert not registry.state.applications

    asyncio.run(main())
