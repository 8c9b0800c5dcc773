"""The resources that all requests share, in `request.state`."""

from typing import TypedDict

from runtime.media.decoders import Decoders
from serve.http.body import UploadBudget
from serve.http.worker_pool import WorkerPool
from serve.repository.models import ModelRepository
from serve.settings import Settings


class State(TypedDict):
    """The shared resources; the application's lifespan opens and closes them."""

    settings: Settings
    repository: ModelRepository
    pool: WorkerPool
    budget: UploadBudget
    decoders: Decoders
