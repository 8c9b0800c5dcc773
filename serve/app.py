"""The ASGI application: its routes, error handlers and shared resources."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from runtime.artifact.signature import TrustedKeys
from runtime.engine.resources import cpu_count
from runtime.media.isolation.pool import IsolatedDecoders
from serve.cache.results import ResultCache
from serve.errors import EXCEPTION_HANDLERS
from serve.http.budget import ByteBudget
from serve.http.cors import BoundedCors
from serve.http.log.handler import log_request
from serve.http.log.record import RequestRecord
from serve.http.log.requests import REQUEST_ID, RequestLog
from serve.http.log.trace import TRACEPARENT, TRACERESPONSE
from serve.http.pieces import Pieces
from serve.http.proxies import BasePath, TrustedProxies
from serve.http.registry import Connections
from serve.http.stop import Stop
from serve.jobs.headers import IDEMPOTENCY_KEY, PREFER
from serve.jobs.jobs import Jobs
from serve.jobs.redis_store import RedisStore
from serve.jobs.room import StoreLimits
from serve.jobs.store import JobStore, MemoryStore
from serve.keys.guard import API_KEY, Guard
from serve.keys.ring import KeyRing
from serve.metrics.live import Live
from serve.metrics.metrics import Metrics
from serve.metrics.port import PATH as METRICS_PATH
from serve.metrics.port import MetricsPort
from serve.openapi import routes as openapi
from serve.page.routes import page_routes
from serve.protocol_v2 import routes as protocol
from serve.protocol_v2.request import HEADER_LENGTH
from serve.repository.eviction import evicting_idle
from serve.repository.loading import loading
from serve.repository.memory.budget import Limit, body_limit, decoder_share
from serve.repository.models import ModelRepository
from serve.repository.readiness import unreadiness
from serve.repository.reload import Reloader, watching
from serve.repository.task_models import lead_emotion_model
from serve.routes import background, face_emotion, gait, predict, similarity, voice_emotion
from serve.routes import experiments as ab_routes
from serve.routes import jobs as job_routes
from serve.routes import memory as memory_routes
from serve.routes import metrics as metrics_routes
from serve.routes import routing as routing_routes
from serve.routes.endpoint import model_endpoint, task_endpoint
from serve.routes.models import health, list_models, show_model
from serve.routing.choice import HEADER as CHOICE_HEADER
from serve.scheduling.admission import Limits
from serve.scheduling.batches import Batching
from serve.scheduling.deadlines import HEADER as TIMEOUT_HEADER
from serve.scheduling.scheduler import Scheduler, background_media
from serve.scheduling.statistics import Statistics
from serve.scheduling.switching import switching_threads_sooner
from serve.settings import Settings
from serve.state import State
from serve.workers.sharing import at_every_worker, at_worker, of_every_worker
from serve.workers.siblings import FromSiblings, Siblings

BODIES_IN_MEMORY = 8  # of the largest size; more if they are smaller
JSON_SHARE = 17 / 12  # of that size, which JSON may have
JOBS_IN_MEMORY = 8  # with bodies or answers of that size; more if they are smaller
PROVENANCE_HEADERS = (
    "X-Model",
    "X-Model-Version",
    "X-Model-Digest",
    "X-Model-Weights",
    "X-Warnings",
)

# that web pages of other origins may read
EXPOSED_HEADERS = (
    *PROVENANCE_HEADERS,
    HEADER_LENGTH,
    "Retry-After",
    "Server-Timing",
    "Location",
    "Preference-Applied",
    "Age",
    "X-Cache",
    REQUEST_ID,
    TRACERESPONSE,
)
ALLOWED_HEADERS = (
    "Content-Type",
    HEADER_LENGTH,
    TIMEOUT_HEADER,
    PREFER,
    IDEMPOTENCY_KEY,
    CHOICE_HEADER,
    API_KEY,
    TRACEPARENT,
)


def create_app(
    settings: Settings,
    repository: ModelRepository,
    stop: Stop | None = None,
    siblings: Siblings | None = None,
    connections: Connections | None = None,
    reloader: Reloader | None = None,
    keys: KeyRing | None = None,
) -> Starlette:
    """Return the server's ASGI application.

    Args:
        settings: of the server.
        repository: not started; the application's lifespan loads its models and closes it.
        stop: set when the server shall end; None: never.
        siblings: the other workers; None: there is none.
        connections: of the server, for its metrics; None: another ASGI server has them.
        reloader: follows changes of the routing; None: one of its own.
        keys: of clients; None: those of the settings.
    """
    stop, siblings = stop or Stop(), siblings or Siblings()
    cpus = settings.runs or cpu_count()
    metrics = Metrics()
    reloader = reloader or Reloader(
        repository,
        settings.directory,
        allow_seeded=settings.allow_seeded,
        trusted=TrustedKeys(settings.trusted_keys),
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:

        def first_run_s(model_id: str) -> float | None:
            model = repository.loaded(model_id)
            return model.session.first_run_s if model else None

        limits = repository.memory.limits
        budget = ByteBudget(body_bytes_of(settings, limits))
        share = decoder_share(limits, cpus)
        clip_room = partial(repository.memory.clip_room, clip_bytes=share.clip_bytes)
        with (
            IsolatedDecoders(
                timeout_s=settings.decode_timeout_s,
                memory_bytes=share.memory_bytes,
                workers=settings.decoders or share.count,
                clip_room=clip_room,
                sound_room=repository.memory.sound_room,
            ) as decoders,
            switching_threads_sooner(),
            IsolatedDecoders(
                timeout_s=settings.job_timeout_s,
                memory_bytes=share.memory_bytes,
                workers=background_media(cpus),
                clip_room=clip_room,
                sound_room=repository.memory.sound_room,
            ) as job_decoders,
            closing(
                Scheduler(
                    limits_of(settings),
                    first_s=first_run_s,
                    run_room=repository.memory.run_room,
                    cpus=cpus,
                    ended=metrics.count_work,
                    running=metrics.count_run,
                    batching=batching_of(settings, repository),
                )
            ) as scheduler,
            evicting_idle(repository.eviction, settings.idle_s),
            watching(reloader),
            loading(repository, settings, fail=stop.fail),
        ):
            store = store_of(settings, limits)
            jobs = Jobs(
                store, scheduler, stop, timeout_s=settings.job_timeout_s, worker=siblings.own
            )
            jobs.open()
            stop.is_busy = jobs.is_busy
            repository.memory.count(
                lambda: budget.used_bytes + store.used_bytes,
                coming_bytes=lambda: budget.free_bytes,
            )
            cache = ResultCache(settings)
            cache.open(repository.memory)
            metrics.watch(
                Live(
                    repository=repository,
                    scheduler=scheduler,
                    jobs=jobs,
                    decoders=(decoders, job_decoders),
                    budget=budget,
                    cache=cache.figures,
                    is_ready=lambda: (
                        not unreadiness(repository, settings.must_serve, ending=stop.reason)
                    ),
                    connections=connections,
                )
            )
            try:
                yield State(
                    settings=settings,
                    repository=repository,
                    reloader=reloader,
                    stop=stop,
                    scheduler=scheduler,
                    budget=budget,
                    decoders=decoders,
                    statistics=Statistics(),
                    jobs=jobs,
                    metrics=metrics,
                    cache=cache,
                    job_decoders=job_decoders,
                    siblings=siblings,
                )
            finally:
                await jobs.close()
                await cache.close()

    app = Starlette(
        routes=[
            *routes(settings),
            *protocol.routes(),
            *openapi.routes(settings),
            *page_routes(settings),
        ],
        middleware=_middleware(settings, metrics, keys or KeyRing(settings)),
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
    )
    # curl would not follow a redirect, and it is not JSON; an unknown path is a 404
    app.router.redirect_slashes = False
    return app


def limits_of(settings: Settings) -> Limits:
    """Return the limits of the queues."""
    return Limits(settings.queue_s, settings.queue, settings.timeout_s)


def batching_of(settings: Settings, repository: ModelRepository) -> Batching | None:
    """Return the limits of runs that requests share; None if each runs alone."""
    if settings.max_batch < 2:
        return None
    room_rows = repository.memory.batch_rows
    return Batching(settings.max_batch, settings.batch_delay_ms / 1000, room_rows)


def body_bytes_of(settings: Settings, limits: Sequence[Limit]) -> int:
    """Return how many bytes of bodies and answers one worker has in memory at once."""
    return body_limit(
        limits,
        largest_bytes=int(settings.max_upload_bytes * JSON_SHARE),
        most_bytes=BODIES_IN_MEMORY * settings.max_upload_bytes // settings.workers,
    )


def store_of(settings: Settings, memory: Sequence[Limit]) -> JobStore:
    """Return the store of the jobs: Redis, or the memory of this process."""
    most_bytes = JOBS_IN_MEMORY * settings.max_upload_bytes
    limits = StoreLimits(settings.jobs, most_bytes, settings.job_ttl_s)
    if settings.redis_url and settings.jobs:
        return RedisStore(settings.redis_url, limits, timeout_s=settings.job_timeout_s)
    # a client alone may have half of it: two of the largest at least
    largest_bytes = 2 * settings.max_upload_bytes * JSON_SHARE
    own_bytes = body_limit(memory, largest_bytes=int(largest_bytes), most_bytes=most_bytes)
    return MemoryStore(replace(limits, size_bytes=own_bytes))


def routes(settings: Settings) -> list[Route]:
    """Return the routes of the tasks, the models and /health."""
    post = ["POST"]
    face, face_job = (
        task_endpoint(
            face_emotion.face_emotion,
            form=face_emotion.FORM,
            lead=lead_emotion_model,
            task="image-classification",
            by_all=True,
            as_job=as_job,
        )
        for as_job in (False, True)
    )
    voice = model_endpoint(
        voice_emotion.voice_emotion, form=voice_emotion.FORM, model_id=settings.voice_emotion_model
    )
    walk = model_endpoint(gait.gait, form=gait.FORM, model_id=settings.gait_model, by_all=True)
    pair = model_endpoint(
        similarity.similarity, form=similarity.FORM, model_id=settings.similarity_model
    )
    cut_out = task_endpoint(
        background.background,
        form=background.FORM,
        lead=lambda settings, _: settings.background_model,
        task="image-segmentation",
    )
    any_model = model_endpoint(predict.predict, form=predict.form_of)
    return [
        Route("/health", health),
        Route("/health/live", protocol.live),
        Route("/health/ready", protocol.ready),
        Route(METRICS_PATH, metrics_routes.show_metrics),
        Route("/v1/models", list_models),
        Route("/v1/models/{model}", show_model),
        Route("/v1/models/{model}", any_model, methods=post),
        Route("/v1/ab", of_every_worker(ab_routes.show_experiments, ab_routes.merge)),
        Route("/v1/outcomes", ab_routes.report_outcomes, methods=post),
        Route("/v1/routing", routing_routes.show_routing),
        Route("/v1/routing", routing_routes.change_routing, methods=post),
        Route("/v1/routing/reload", at_every_worker(routing_routes.reload_routing), methods=post),
        Route("/v1/memory", of_every_worker(memory_routes.show_memory, memory_routes.merge)),
        Route("/v1/memory/clear", at_every_worker(memory_routes.clear_memory), methods=post),
        Route("/v1/face-emotion", face, methods=post),
        Route("/api/predict", face, methods=post),  # the path of earlier deployments
        Route("/api/predict-async", face_job, methods=post),  # the path of earlier deployments
        Route("/v1/voice-emotion", voice, methods=post),
        Route("/v1/gait", walk, methods=post),
        Route("/predict", walk, methods=post),  # the path of earlier deployments
        Route("/v1/similarity", pair, methods=post),
        Route("/v1/background", cut_out, methods=post),
        Route("/api/remove-background", cut_out, methods=post),  # the path of earlier deployments
        Route(job_routes.JOB_PATH, at_worker(job_routes.show_job, job_routes.worker)),
        Route(
            job_routes.JOB_PATH,
            at_worker(job_routes.cancel_job, job_routes.worker),
            methods=["DELETE"],
        ),
        Route(job_routes.RESULT_PATH, at_worker(job_routes.job_result, job_routes.worker)),
    ]


def _allowed_headers(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the request headers that pages of other origins may send; "*" alone means all."""
    return ("*",) if "*" in names else (*ALLOWED_HEADERS, *names)


def _middleware(settings: Settings, metrics: Metrics, keys: KeyRing) -> list[Middleware]:
    """Return the layers around the routes, from the outermost."""

    def end(record: RequestRecord) -> None:
        metrics.count_request(record)
        log_request(record)

    outer = [
        *([Middleware(FromSiblings)] if settings.workers > 1 else []),
        Middleware(RequestLog, end),
    ]
    # each layer costs every request: those that are not asked for are left out
    if settings.trusted_proxies:
        with_prefix = not settings.base_path
        proxies = Middleware(TrustedProxies, settings.trusted_proxies, with_prefix=with_prefix)
        outer.append(proxies)
    if settings.base_path:
        outer.append(Middleware(BasePath, settings.base_path))
    if settings.metrics_port:
        outer.append(Middleware(MetricsPort, settings.metrics_port))
    inner = [Middleware(Pieces)]
    if keys.is_required or settings.rate_limit:
        inner.insert(0, Middleware(Guard, settings, keys))
    if not settings.cors_origins:
        return [*outer, *inner]
    return [
        *outer,
        Middleware(
            BoundedCors,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=_allowed_headers(settings.cors_headers),
            expose_headers=EXPOSED_HEADERS,
        ),
        *inner,
    ]
