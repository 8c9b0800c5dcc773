"""The resources that all requests share, in `request.state`."""

from typing import TypedDict

from runtime.media.isolation.pool import IsolatedDecoders
from serve.cache.results import ResultCache
from serve.http.budget import ByteBudget
from serve.http.stop import Stop
from serve.jobs.jobs import Jobs
from serve.metrics.metrics import Metrics
from serve.repository.models import ModelRepository
from serve.repository.reload import Reloader
from serve.scheduling.scheduler import Scheduler
from serve.scheduling.statistics import Statistics
from serve.settings import Settings
from serve.workers.siblings import Siblings


class State(TypedDict):
    """The shared resources; the application's lifespan opens and closes them."""

    settings: Settings
    repository: ModelRepository
    reloader: Reloader
    stop: Stop
    scheduler: Scheduler
    budget: ByteBudget
    decoders: IsolatedDecoders
    statistics: Statistics
    jobs: Jobs
    metrics: Metrics
    siblings: Siblings  # the other workers
    cache: ResultCache
    job_decoders: IsolatedDecoders  # theirs may take longer, and take no place from others
