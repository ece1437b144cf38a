"""The check of a daemon's logs that end-to-end tests end with."""

import pytest

from tests.daemon import Daemon


@pytest.fixture
def daemon(tmp_path):
    """Return what would be a daemon; its logs are the test's."""
    (tmp_path / "logs").mkdir()
    return Daemon(tmp_path)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("daemon.log", "2026-01-01T00:00:00.000Z ERROR   servd: bringing the replicas up failed"),
        ("frontend.0.log", "2026-01-01T00:00:00.000Z ERROR   asyncio: Task exception"),
        ("daemon.out", "Traceback (most recent call last):"),
    ],
)
def test_an_error_that_nobody_provoked_fails(daemon, name, line):
    """Wherever servd writes it; one that is expected does not."""
    (daemon.data_dir / "logs" / name).write_text(f"a line\n{line}\n")
    with pytest.raises(AssertionError, match=f"{name} has an error"):
        daemon.check_logs()
    daemon.expected_errors.append("replicas up failed|Task exception|^Traceback")
    daemon.check_logs()


def test_what_models_print_is_their_own(daemon):
    """And a warning is none of an error, whatever it quotes."""
    (daemon.data_dir / "logs" / "models").mkdir()
    (daemon.data_dir / "logs" / "models" / "1.0.log").write_text("t ERROR x\nTraceback\n")
    quoted = "2026-01-01T00:00:00.000Z WARNING servd: m ended: the last line was: an ERROR of it\n"
    (daemon.data_dir / "logs" / "daemon.log").write_text(quoted)
    daemon.check_logs()
