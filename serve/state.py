"""What every request finds in `request.state`."""

from typing import TypedDict

from runtime.decoders import Decoders
from serve.body import UploadBudget
from serve.catalog import Catalog
from serve.inference import WorkerPool
from serve.settings import Settings


class State(TypedDict):
    """Opened by the application's lifespan, shared by all requests, never changed."""

    settings: Settings
    catalog: Catalog
    pool: WorkerPool
    budget: UploadBudget
    decoders: Decoders
