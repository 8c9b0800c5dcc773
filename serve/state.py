"""What every request finds in `request.state`."""

from typing import TypedDict

from runtime.media.decoders import Decoders
from serve.catalog.catalog import Catalog
from serve.http.body import UploadBudget
from serve.http.worker_pool import WorkerPool
from serve.settings import Settings


class State(TypedDict):
    """Opened by the application's lifespan, shared by all requests, never changed."""

    settings: Settings
    catalog: Catalog
    pool: WorkerPool
    budget: UploadBudget
    decoders: Decoders
