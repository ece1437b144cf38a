"""What a replica says that it has loaded."""

from model_runtime.bundle import digest_of
from model_runtime.content import Content
from tests.image_specs import make_bundle


def test_the_digest_is_that_of_what_lies_there(tmp_path):
    """Whatever it is called; and as it was before the model could write beside itself."""
    bundle = make_bundle(tmp_path / "anything")
    before = digest_of(bundle)
    content = Content(bundle)
    (bundle / "files" / "cache.txt").write_text("written by the model")
    assert content.digest() == before
    assert Content(bundle).digest() not in (before, None)


def test_a_folder_that_is_no_bundle_is_not_claimed_to_be_one(tmp_path):
    """Mounted by somebody, with links in it: nothing is said of it."""
    bundle = make_bundle(tmp_path / "made")
    (bundle / "files" / "link").symlink_to("f.py")
    assert Content(bundle).digest() is None
