"""FastAPI by hand, as its documentation serves: a plain function, one uvicorn worker per CPU.

python -m benchmarks.peers.adapters.fastapi_app PORT WORKERS
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import uvicorn
from fastapi import FastAPI, File, Request, Response

from benchmarks.peers.adapters.mobilenet import MobileNet


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the model in a worker, not in the process that starts them."""
    app.state.model = MobileNet(os.environ["PEER_MODEL"])
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
def predict(request: Request, image: Annotated[bytes, File()]) -> Response:
    """Answer in the thread pool, as `def` functions are."""
    return Response(request.app.state.model.answer(image), media_type="application/json")


if __name__ == "__main__":
    name = "benchmarks.peers.adapters.fastapi_app:app"
    port, workers = int(sys.argv[1]), int(sys.argv[2])
    uvicorn.run(name, port=port, workers=workers, loop="uvloop", http="httptools", access_log=False)
