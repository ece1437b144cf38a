"""Ray Serve with its batching on. Run as `python -m benchmarks.baselines.peer_ray PORT`."""

import sys
import time
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.baselines.model import NAME, TARGET, answer, load


@serve.deployment(max_ongoing_requests=512, ray_actor_options={"num_cpus": 1})
class Model:
    """The model behind Ray Serve's proxy."""

    def __init__(self) -> None:
        self.model = load(TARGET)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.0005)
    async def predict(self, rows: list[list[float]]) -> list[Any]:
        """Predict a batch."""
        return list(self.model(rows))

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answer in servd's form."""
        query = await request.json()
        return answer(await self.predict(query["input"]))


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    # The decorator gives it a method.
    serve.run(Model.bind(), route_prefix=f"/{NAME}/predict")  # type: ignore[attr-defined]
    while True:
        time.sleep(3600)
