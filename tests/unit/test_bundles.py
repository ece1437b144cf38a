"""The bundle store on a real file system."""

import asyncio

import pytest

from servd.bundles import BundleStore
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


@pytest.mark.parametrize("fault", ["digest", "tar", "size", "name"])
def test_a_bad_upload_leaves_nothing(store, bundle, fault):
    """Wrong content, damage, size or digest: refused, and no file stays."""
    digest, tar = bundle
    uploads = {
        "digest": ("0" * 32, tar),
        "tar": (digest, b"x" * 2000),
        "size": (digest, tar + b"\0" * 100_000),
        "name": ("../etc", tar),
    }
    name, content = uploads[fault]
    with pytest.raises(BundleError):
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
