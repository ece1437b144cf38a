"""What an engine says while it builds."""

from servd.imaging.build_log import MAX_LINES, BuildLog

SAID = [
    {"stream": "Step 1/3 : FROM python:3.11-slim"},
    {"stream": "\n"},
    {"stream": " ---> 0123456789ab\n"},
    {"stream": "Step 2/3 : RUN a \\\n    && b"},
    {"stream": "\n"},
    {"stream": " ---> Using cache\n"},
    {"stream": " ---> 1123456789ab\n"},
    {"stream": "Step 3/3 : RUN c"},
    {"stream": "\n"},
    {"stream": " ---> Running in 2123456789ab\n"},
    {"stream": "\x1b[91mhalf a "},
    {"stream": "line\x1b[0m\nanother\n"},
    {"stream": "Removing intermediate container 2123456789ab\n"},
]


def test_steps_are_told_when_the_next_begins():
    """Each has its number, its instruction in one line and whether it was cached."""
    log = BuildLog()
    finished = [step for message in SAID if (step := log.feed(message))]
    assert [(step.number, step.summary) for step in finished] == [
        (1, "FROM python:3.11-slim"),
        (2, "RUN a \\ && b"),
    ]
    assert [step.is_cached for step in log.steps] == [False, True, False]
    assert not log.is_cached


def test_a_steps_own_output_is_kept_without_the_engines():
    """Lines that came in pieces are whole; colours and container ids are not part of them."""
    log = BuildLog()
    for message in SAID:
        log.feed(message)
    assert log.steps[-1].output == ["half a line", "another"]


def test_the_image_is_named_by_the_last_messages():
    """The full id counts, however the engine tells it."""
    log = BuildLog()
    for message in (*SAID, {"aux": {"ID": "sha256:" + "a" * 64}}):
        log.feed(message)
    log.feed({"stream": "Successfully built aaaaaaaaaaaa\n"})
    assert log.image_id == "sha256:" + "a" * 64
    short = BuildLog()
    short.feed(SAID[0])
    short.feed({"stream": "\nSuccessfully built aaaaaaaaaaaa\n"})
    assert short.image_id == "a" * 12


def test_an_error_is_the_engines_longest_word():
    """The detail counts where there is one."""
    log = BuildLog()
    log.feed({"error": "short", "errorDetail": {"code": 1, "message": "long"}})
    assert log.error == "long"
    log.feed({"error": "only"})
    assert log.error == "only"


def test_a_step_that_prints_for_ever_does_not_fill_the_memory():
    """Output beyond a bound is dropped."""
    log = BuildLog()
    log.feed({"stream": "Step 1/1 : RUN yes"})
    log.feed({"stream": "y\n" * (MAX_LINES + 5)})
    assert len(log.steps[0].output) <= MAX_LINES
