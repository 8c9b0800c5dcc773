"""MLServer with a runtime of our own, one parallel worker per CPU, without batches (its default).

python -m benchmarks.peers.adapters.mlserver_app PORT WORKERS
"""

import os
import socket
import sys
import tempfile

import uvloop
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.adapters.mobilenet import MobileNet


class Runtime(MLModel):
    """The runtime; each worker loads the model once."""

    async def load(self) -> bool:
        """Load the model."""
        self.model = MobileNet(os.environ["PEER_MODEL"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one image: BYTES in base64, as JSON of the protocol carries it."""
        (data,) = Base64Codec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output("embedding", self.model.embed(data)[None])
        return InferenceResponse(model_name=self.name, outputs=[output])


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


async def serve(port: int, workers: int, metrics_dir: str) -> None:
    """Serve until a signal ends it."""
    settings = Settings(
        host="127.0.0.1",
        http_port=port,
        grpc_port=free_port(),
        metrics_port=free_port(),
        metrics_dir=metrics_dir,
        parallel_workers=workers,
        debug=False,
    )
    name = "benchmarks.peers.adapters.mlserver_app.Runtime"
    await MLServer(settings).start([ModelSettings(name="mobilenet", implementation=name)])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), folder))
