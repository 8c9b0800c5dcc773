"""Ray Serve with one replica per CPU, without batches (its default).

python -m benchmarks.peers.adapters.ray_app PORT WORKERS
"""

import os
import sys
import time
from typing import Any

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.adapters.mobilenet import MobileNet


class Embedding:
    """One replica."""

    def __init__(self, path: str) -> None:
        """Load the model."""
        self.model = MobileNet(path)

    async def __call__(self, request: Request) -> Response:
        """Answer one upload."""
        async with request.form() as form:
            image: Any = form["image"]
            data = await image.read()
        return Response(self.model.answer(data), media_type="application/json")


if __name__ == "__main__":
    port, workers = int(sys.argv[1]), int(sys.argv[2])
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    options = {"num_replicas": workers, "ray_actor_options": {"num_cpus": 1}}
    application = serve.deployment(Embedding).options(**options, max_ongoing_requests=16)
    serve.run(application.bind(os.environ["PEER_MODEL"]), route_prefix="/predict")
    while True:
        time.sleep(60)
