"""LitServe with one worker and one HTTP process per CPU, without batches (its default).

python -m benchmarks.peers.adapters.litserve_app PORT WORKERS
"""

import os
import sys

import litserve
from fastapi import Request, Response

from benchmarks.peers.adapters.mobilenet import MobileNet


class Api(litserve.LitAPI):
    """The steps of a request: the first and the last in a worker as well."""

    def setup(self, device: str) -> None:
        """Load the model in a worker."""
        self.model = MobileNet(os.environ["PEER_MODEL"])

    def decode_request(self, request: Request) -> bytes:
        """Return the uploaded file."""
        data: bytes = request["image"].file.read()
        return data

    def predict(self, data: bytes) -> bytes:
        """Answer with JSON."""
        return self.model.answer(data)

    def encode_response(self, output: bytes) -> Response:
        """Send the JSON as it is."""
        return Response(output, media_type="application/json")


if __name__ == "__main__":
    port, workers = int(sys.argv[1]), int(sys.argv[2])
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=workers)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")
