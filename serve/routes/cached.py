"""Answer a task request from the cache, or compute its answer and store that."""

import asyncio
from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from serve.cache.control import control_of
from serve.cache.entry import Entry
from serve.cache.flights import Flight
from serve.cache.keys import answer_key
from serve.cache.results import Computed, as_hit, identities
from serve.http.leaving import leaving_of
from serve.http.log.notes import note_stages
from serve.routes.work import TaskRequest, Uploads
from serve.scheduling.call import Call
from serve.scheduling.job import Turns
from serve.scheduling.scheduler import Place
from serve.settings import Settings
from serve.state import State
from serve.uploads.parse import Upload, is_json

INLINE_BYTES = 256 * 1024  # of a body that is parsed and hashed on the event loop: half a ms
X_CACHE = "X-Cache"  # hit, miss or bypass


async def answer_cached(
    request: Request[State], task: TaskRequest, place: Place, body: bytes
) -> Response:
    """Answer a request whose task is stored.

    Args:
        request: of a client.
        task: the same request.
        place: of the scheduler.
        body: complete.
    """
    state, leaving = request.state, leaving_of(request)
    cache, settings = state["cache"], state["settings"]
    control = control_of(",".join(request.headers.getlist("cache-control")))
    ids = task.repository.ids if task.by_all else (task.model_id,)
    models = identities(task.repository, ids, task.choice)
    key_of = partial(answer_key, task.path, models, cache.settings_digest)
    key, uploads = await _read(task, body, settings, key_of)

    async def compute(flight: Flight[Computed] | None = None) -> Computed:
        runs = cache.runs(control)
        work, scheduler = task.work(uploads, settings, state["decoders"], runs), state["scheduler"]
        if flight:  # which knows who waits
            response, call = await scheduler.run(place, _marking(work, flight))
        else:
            response, call = await scheduler.run(place, work, leaving=leaving)
        watch = call.stopwatch
        computed = Computed(Entry.of(response), watch.header(), watch.stages_s, runs.age_s)
        is_whole = response.status_code == 200 and not runs.is_batch
        # a model that changed meanwhile, or that the key does not know, is of another key
        is_same = runs.identities.items() <= models.items()
        if key is not None and control.may_store and is_whole and is_same:
            cache.store(key, computed.entry, runs.oldest_s)
        return computed

    if not control.may_read:
        cache.counters.bypassed += 1
        return _first(request, await compute(), "bypass")
    if key is None:
        computed = await compute()
        cache.counters.misses += 1
        return _first(request, computed, "miss")
    stored = await cache.find(key, control)
    if stored is not None:
        return stored
    timeout_s = min(place.timeout_s or settings.timeout_s, settings.timeout_s)
    computed, is_first = await cache.flights.join(
        key, compute, leaving=leaving, timeout_s=timeout_s
    )
    if is_first:
        cache.counters.misses += 1
        return _first(request, computed, "miss")
    cache.counters.coalesced += 1
    return as_hit(computed.entry.response(), computed.age_s or 0.0)


def _first(request: Request[State], computed: Computed, x_cache: str) -> Response:
    """Return the answer for the request that it was computed for."""
    response = computed.entry.response()
    if x_cache == "miss" and computed.age_s is not None:
        response = as_hit(response, computed.age_s)
    else:
        response.headers[X_CACHE] = x_cache
    note_stages(request.scope, computed.stages_s)
    response.headers["Server-Timing"] = computed.timing
    return response


def _marking(
    work: Callable[[Call], Turns[Response]], flight: Flight[Computed]
) -> Callable[[Call], Turns[Response]]:
    """Return work that tells its flight when it begins."""

    def marking(call: Call) -> Turns[Response]:
        flight.has_begun = True
        return (yield from work(call))

    return marking


async def _read(
    task: TaskRequest, body: bytes, settings: Settings, key_of: Callable[..., str]
) -> tuple[str | None, Callable[[], Uploads]]:
    """Return the key of a request, None for several files; and what parses its body for a worker.

    A large body is parsed twice: its files, held beside it while it waits, would double its bytes.
    Of large JSON the whole body is the file: its base64 takes a worker's time.
    """
    parse = partial(task.parse, body, settings)
    if len(body) <= INLINE_BYTES:
        uploads = parse()
        return _key_of(uploads, key_of), lambda: uploads
    if is_json(task.content_type):
        options = {"": task.query.decode("latin-1")}
        return await asyncio.to_thread(key_of, options, (body,)), parse
    return await asyncio.to_thread(lambda: _key_of(parse(), key_of)), parse


def _key_of(uploads: Uploads, key_of: Callable[..., str]) -> str | None:
    return key_of(uploads.options, uploads.files) if isinstance(uploads, Upload) else None
