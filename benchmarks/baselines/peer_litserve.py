"""LitServe with its batching on. Run as `python -m benchmarks.baselines.peer_litserve PORT`."""

import sys
from typing import Any

import litserve

from benchmarks.baselines.model import NAME, TARGET, answer, load


class Model(litserve.LitAPI):
    """The model behind LitServe's hooks."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Load the model in the worker."""
        self.model = load(TARGET)

    def decode_request(self, request: dict[str, Any]) -> list[float]:
        """Return the input."""
        return request["input"]

    def batch(self, inputs: list[list[float]]) -> list[list[float]]:
        """Keep rows as they are."""
        return inputs

    def predict(self, x: list[list[float]]) -> Any:
        """Predict a batch."""
        return self.model(x)

    def unbatch(self, output: Any) -> Any:
        """Keep outputs as they are."""
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Answer in servd's form."""
        return answer(output)


if __name__ == "__main__":
    api = Model(max_batch_size=64, batch_timeout=0.0005, api_path=f"/{NAME}/predict")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False
    )
