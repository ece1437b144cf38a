"""The bundle store on a real file system."""

import asyncio

import pytest

from servd.deploying.bundles import BundleStore
from servd.errors import BundleError
from tests.replicas import make_bundle


async def _chunks(content):
    for at in range(0, len(content), 1000):
        yield content[at : at + 1000]


@pytest.fixture
def store(tmp_path):
    """Return an empty store."""
    return BundleStore(tmp_path / "bundles", max_bytes=100_000)


@pytest.fixture
def bundle(tmp_path):
    """Return a digest and its tar."""
    return make_bundle(tmp_path / "made", "def f(x): return x")


def test_an_upload_is_stored_once(store, bundle):
    """A bundle appears under its digest with its manifest; the second upload is not needed."""

    async def story():
        digest, tar = bundle
        assert not store.has(digest)
        assert await store.add(digest, _chunks(tar))
        assert not await store.add(digest, _chunks(tar))
        assert (await store.manifest(digest)).file == "f.py"
        assert [path.name for path in store.path(digest).parent.iterdir()] == [digest]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("digest", "has the digest"),
        ("tar", "not a sound tar file"),
        ("size", "more than 100000 bytes"),
        ("name", "is not a bundle's digest"),
    ],
)
def test_a_bad_upload_leaves_nothing(store, bundle, fault, words):
    """Wrong content, damage, size or digest: refused, and no file stays."""
    digest, tar = bundle
    uploads = {
        "digest": ("0" * 32, tar),
        "tar": (digest, b"x" * 2000),
        "size": (digest, tar + b"\0" * 100_000),
        "name": ("../etc", tar),
    }
    name, content = uploads[fault]
    with pytest.raises(BundleError, match=words):
        asyncio.run(store.add(name, _chunks(content)))
    assert not store.has(name)
    assert not store.path("x").parent.exists() or not list(store.path("x").parent.iterdir())


def test_collection_keeps_what_is_used_or_pinned(store, bundle, tmp_path):
    """Bundles in use or in a deployment stay, others and half uploads go."""

    async def story():
        used, tar = bundle
        pinned, other = make_bundle(tmp_path / "other", "def f(x): return 0")
        await store.add(used, _chunks(tar))
        await store.add(pinned, _chunks(other))
        (store.path("x").parent / "incoming.0").mkdir()
        with store.pinned(pinned):
            await store.collect({used})
            await store.remove(pinned)
            assert store.has(used)
            assert store.has(pinned)
        await store.collect({used})
        assert [path.name for path in store.path("x").parent.iterdir()] == [used]

    asyncio.run(story())


def names(folder):
    """Return what is in a folder, if it is there."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_what_is_not_used_goes_to_the_trash_and_comes_back(store, bundle, tmp_path):
    """A removed bundle is kept for whoever asks for it again, as an upload or a version."""

    async def story():
        digest, tar = bundle
        await store.add(digest, _chunks(tar))
        await store.remove(digest)
        assert names(tmp_path / "bundles") == []
        assert names(tmp_path / "trash") == [digest]
        assert await store.missing({digest, "0" * 32, None}) == {"0" * 32}
        assert names(tmp_path / "bundles") == [digest]
        await store.remove(digest)
        assert not await store.add(digest, _chunks(tar))
        assert (await store.manifest(digest)).file == "f.py"
        assert names(tmp_path / "trash") == []

    asyncio.run(story())


def test_an_upload_that_is_not_deployed_goes_at_the_second_look(store, bundle, tmp_path):
    """Whoever uploads has the time between two looks to deploy; what is used or pinned stays."""

    async def story():
        digest, tar = bundle
        await store.add(digest, _chunks(tar))
        for used in ({digest}, set(), {digest, None}, set()):
            await store.sweep(used)
            assert names(tmp_path / "bundles") == [digest]
        with store.pinned(digest):
            await store.sweep(set())
        assert names(tmp_path / "bundles") == [digest]
        await store.sweep(set())
        assert names(tmp_path / "bundles") == []
        assert names(tmp_path / "trash") == [digest]

    asyncio.run(story())


def test_a_start_throws_away_what_no_version_uses(store, bundle, tmp_path):
    """And half uploads; what is no bundle is somebody else's."""

    async def story():
        digest, tar = bundle
        await store.add(digest, _chunks(tar))
        folder = tmp_path / "bundles"
        (folder / "incoming.1").mkdir()
        (folder / "incoming.2.tar").write_bytes(b"half")
        (folder / "notes.txt").write_text("mine")
        await store.collect({digest})
        assert names(folder) == sorted([digest, "notes.txt"])
        await store.collect(set())
        assert names(folder) == ["notes.txt"]
        assert names(tmp_path / "trash") == [digest]

    asyncio.run(story())


@pytest.mark.parametrize("change", ["a new file", "other content", "a file less", "same size"])
def test_a_bundle_that_was_changed_is_not_there(store, bundle, tmp_path, change, caplog):
    """It is set aside and said; an upload brings the right one, and asking again costs nothing."""

    def spoil(path):
        code = path / "files" / "f.py"
        code.chmod(0o600)
        if change == "a new file":
            (path / "files" / "cache.txt").write_text("seen")
        elif change == "a file less":
            code.unlink()
        else:
            code.write_text("x" * code.stat().st_size if change == "same size" else "other")

    async def story():
        digest, tar = bundle
        await store.add(digest, _chunks(tar))
        assert await store.is_sound(digest)
        spoil(store.path(digest))
        assert not await store.is_sound(digest)
        assert "not those that were deployed" in caplog.text
        assert names(tmp_path / "bundles") == []
        assert names(tmp_path / "trash") == [f"changed.{digest}"]
        with pytest.raises(BundleError, match="was changed since"):
            await store.manifest(digest)
        assert await store.add(digest, _chunks(tar))
        assert await store.is_sound(digest)

    asyncio.run(story())


def test_a_bundle_is_read_again_only_when_something_was_written(store, bundle, monkeypatch):
    """Asking for what is there is a few looks at inodes, whatever it weighs."""

    async def story():
        digest, tar = bundle
        await store.add(digest, _chunks(tar))
        assert await store.is_sound(digest)
        monkeypatch.setattr(
            "servd.deploying.bundles.digest_of", lambda _: pytest.fail("it was read again")
        )
        assert await store.is_sound(digest)
        assert (await store.manifest(digest)).file == "f.py"

    asyncio.run(story())


def test_a_bundles_files_are_read_only(store, bundle):
    """A model that is not root's cannot change them by a link either."""

    async def story():
        digest, tar = bundle
        await store.add(digest, _chunks(tar))
        files = [path for path in store.path(digest).rglob("*") if path.is_file()]
        assert {path.stat().st_mode & 0o777 for path in files} == {0o400}

    asyncio.run(story())
