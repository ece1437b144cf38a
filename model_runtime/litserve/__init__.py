"""The names of LitServe that files of a LitAPI import, where LitServe itself is not installed.

Called by: the importer, by the name `litserve` (stand_in.py). What a LitAPI does is in
loaders/litserve.py; what serves one is servd.
"""

from __future__ import annotations

from typing import Any


class LitAPI:
    """What a model's class is derived from; its methods are called as LitServe calls them."""

    stream = False
    device: str | None = None

    def __init__(
        self, max_batch_size: int = 1, batch_timeout: float = 0.0, **settings: Any
    ) -> None:
        if max_batch_size <= 0:
            raise ValueError("max_batch_size must be greater than 0")
        self.max_batch_size = max_batch_size
        self.batch_timeout = batch_timeout
        self.stream = bool(settings.get("stream", self.stream))
        self.enable_async = bool(settings.get("enable_async", False))
        self.api_path = settings.get("api_path", "/predict")

    def setup(self, device: str) -> None:
        """Prepare the model; called once in each replica."""

    def decode_request(self, request: Any) -> Any:
        """Return what `predict` is called with."""
        return request

    def batch(self, inputs: list[Any]) -> Any:
        """Return several inputs as one: stacked where they are tensors or arrays."""
        kind = type(inputs[0])
        if hasattr(inputs[0], "__torch_function__"):
            import torch  # noqa: PLC0415  (whoever has a tensor has it)

            return torch.stack(inputs)
        if kind.__name__ == "ndarray":
            import numpy as np  # noqa: PLC0415  (as above)

            return np.stack(inputs)
        return inputs

    def unbatch(self, output: Any) -> Any:
        """Return the output of each of several inputs."""
        return list(output)

    def encode_response(self, output: Any) -> Any:
        """Return what is answered."""
        return output

    def log(self, key: str, value: Any) -> None:
        """Say something to the server's loggers, of which there are none here."""


class LitServer:
    """What serves a LitAPI. Here servd does: this keeps it, and does not run."""

    def __init__(self, lit_api: Any = None, **settings: Any) -> None:
        self.lit_api = lit_api
        self.settings = settings

    def run(self, **settings: Any) -> None:
        """Refuse: a file that runs its server where it is imported is no model."""
        del settings
        raise RuntimeError(
            'servd serves the LitAPI: put server.run() below if __name__ == "__main__":'
        )


class Callback:
    """What is told of a server's life, of which none of its own is run here."""


class Logger:
    """What is told what a LitAPI logs, which here is nobody."""


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"servd does not have litserve.{name}: where it is needed, install litserve in the model's "
        "environment"
    )
