"""What of a Keras file has to be trusted. Used by its loader and where it is looked at."""

from typing import Final

LAMBDA: Final = "Lambda"
"""The word by which a deployer lets the code in Lambda layers run."""
LAMBDA_CLASS: Final = "__lambda__"
"""The class of a Python lambda in a configuration."""
