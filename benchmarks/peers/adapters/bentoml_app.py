"""BentoML with one worker per CPU, without adaptive batches (its default).

python -m benchmarks.peers.adapters.bentoml_app PORT WORKERS
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import ContentType
from numpy.typing import NDArray

from benchmarks.peers.adapters.mobilenet import MobileNet

WORKERS = int(os.environ.get("PEER_WORKERS", "1"))


SETTINGS = {"traffic": {"timeout": 60}, "logging": {"access": {"enabled": False}}}


@bentoml.service(workers=WORKERS, **SETTINGS)
class Embedding:
    """One endpoint."""

    def __init__(self) -> None:
        """Load the model in a worker."""
        self.model = MobileNet(os.environ["PEER_MODEL"])

    @bentoml.api
    def predict(self, image: Annotated[Path, ContentType("image/jpeg")]) -> NDArray[np.float32]:
        """Answer with a list of numbers; BentoML hands an upload over as a file."""
        return self.model.embed(image.read_bytes())


if __name__ == "__main__":
    command = [sys.executable, "-m", "bentoml", "serve", f"{__spec__.name}:Embedding"]
    os.environ["PEER_WORKERS"] = sys.argv[2]
    os.execv(sys.executable, [*command, "--host", "127.0.0.1", "--port", sys.argv[1]])
