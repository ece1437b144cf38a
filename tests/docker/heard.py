"""A builder's report for the tests of images."""

# ruff: noqa: D102, ARG002 - the methods are those of the builder's Report

from servd.imaging.build_log import Report


class Heard(Report):
    """A report that keeps what it heard."""

    def __init__(self):
        self.cached, self.tried, self.errors, self.steps = [], [], [], []

    def on_step(self, step):
        self.steps.append(step)

    def on_built(self, image_id, *, is_cached):
        self.cached.append(is_cached)

    def on_tried(self, detail, duration_s):
        self.tried.append(detail)

    def on_pushing(self, reference, attempt, error):
        self.errors.append(error)
