"""What tests of models need: a model called as a replica calls it, and a daemon of one's own.

Called by users' tests; the fixtures of pytest are in `servd.testing.plugin`. May import client and
what is below it. docs/python.md has how to test a model.
"""

from servd.client.local import local
from servd.client.trial import ModelError, Trial, loaded

__all__ = ["ModelError", "Trial", "loaded", "local"]
