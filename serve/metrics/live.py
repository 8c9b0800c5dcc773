"""Figures that are read when they are asked for: models, memory, queues, jobs, connections."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import serve
from runtime import Model
from runtime.media.isolation.pool import IsolatedDecoders
from serve.cache.counters import CacheFigures
from serve.http.budget import ByteBudget
from serve.http.registry import Connections
from serve.jobs.jobs import Jobs
from serve.repository.models import ModelRepository
from serve.repository.slot import Slot
from serve.repository.status import ModelState
from serve.scheduling.scheduler import Scheduler

MODEL = "model"
VERSION = (MODEL, "version")
Rows = Iterable[tuple[tuple[str, ...], float]]  # values of the labels, and the figure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Live(Collector):
    """The parts of the server that are looked at."""

    repository: ModelRepository
    scheduler: Scheduler
    jobs: Jobs
    decoders: tuple[IsolatedDecoders, ...]
    budget: ByteBudget
    cache: Callable[[], CacheFigures]
    is_ready: Callable[[], bool]
    connections: Connections | None  # None: another ASGI server has them

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the names do not change, and to read the figures takes time."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of now."""
        info = gauge("slipway_build_info", "The version of the server", "version")
        yield filled(info, [((serve.__version__,), 1)])
        ready = gauge("slipway_ready", "1 if the server is ready, as /health/ready tells")
        yield filled(ready, [((), self.is_ready())])
        yield from self._models()
        yield from self._memory()
        yield from self._work()
        yield from self._decoders()
        yield from _cache(self.cache())
        if self.connections is not None:
            yield from _connections(self.connections)

    def _models(self) -> Iterator[Metric]:
        repository = self.repository
        ids = repository.ids
        states = {model_id: repository.status(model_id).state for model_id in ids}
        state = gauge("slipway_model_state", "1 for the state of each model", MODEL, "state")
        yield filled(state, [((i, one.value), one is states[i]) for i in ids for one in ModelState])
        yield filled(
            gauge("slipway_model_refused_versions", "Newer versions that cannot be served", MODEL),
            [((i,), len(repository.status(i).refused)) for i in ids],
        )
        yield filled(
            gauge("slipway_route_problem", "1 if the route of a model is not followed", MODEL),
            [((i,), bool(repository.route_problem(i))) for i in ids],
        )
        candidates = {i: one for i in ids if (one := repository.candidate(i))}
        yield filled(
            gauge("slipway_candidate_share", "Share of requests of a candidate", *VERSION),
            [((i, str(one.version)), one.share) for i, one in candidates.items()],
        )
        slots = [repository.eviction.usage(i) for i in ids]
        yield from self._versions([*slots, *(one.slot for one in candidates.values())])

    def _versions(self, slots: Sequence[Slot]) -> Iterator[Metric]:
        models = [(slot, slot.model) for slot in slots]
        yield filled(
            gauge(
                "slipway_model_info",
                "Each version that is loaded, with its file and provider",
                *(*VERSION, "variant", "weights_origin", "provider"),
            ),
            [(_description(model), 1) for _, model in models if model is not None],
        )
        kept = self.repository.memory.ledger.kept_bytes
        named = [((slot.entry.id, slot.key.rpartition("/")[2]), slot) for slot in slots]
        yield filled(
            gauge("slipway_model_memory_bytes", "Memory that a loaded version keeps", *VERSION),
            [(name, kept(slot.key) if slot.model else 0) for name, slot in named],
        )
        yield filled(
            gauge("slipway_model_users", "Running requests that have a version", *VERSION),
            [(name, slot.users) for name, slot in named],
        )
        loads = Counter[str]()
        evictions = Counter[str]()
        for slot in slots:  # of a default version and of its candidate
            loads[slot.entry.id] += slot.loads
            evictions[slot.entry.id] += slot.evictions
        yield filled(
            counter("slipway_model_loads", "Loads of a model that ended well", MODEL),
            [((model_id,), count) for model_id, count in loads.items()],
        )
        yield filled(
            counter("slipway_model_evictions", "Times that a model was unloaded", MODEL),
            [((model_id,), count) for model_id, count in evictions.items()],
        )

    def _memory(self) -> Iterator[Metric]:
        memory = self.repository.memory
        limits = memory.limits
        source = "source"
        yield filled(
            gauge("slipway_memory_allowed_bytes", "Memory that may be planned with", source),
            [((limit.source,), limit.allowed_bytes) for limit in limits],
        )
        yield filled(
            gauge("slipway_memory_used_bytes", "Memory that counts against the limit", source),
            [((limit.source,), limit.read_used_bytes()) for limit in limits],
        )
        free = memory.free_bytes
        yield filled(
            gauge("slipway_memory_free_bytes", "Memory that may still be taken; absent: no limit"),
            [] if free is None else [((), free)],
        )
        yield filled(
            gauge("slipway_memory_given_bytes", "Room that loads, runs and decoders have now"),
            [((), memory.given_bytes)],
        )
        yield filled(
            gauge("slipway_memory_short", "1 if memory is used up and nothing can be unloaded"),
            [((), memory.is_short)],
        )
        yield filled(
            gauge("slipway_body_bytes", "Bodies and answers in memory"),
            [((), self.budget.used_bytes)],
        )

    def _work(self) -> Iterator[Metric]:
        waiting = {model_id: self.scheduler.waiting(model_id) for model_id in self.repository.ids}
        yield filled(
            gauge("slipway_queue_requests", "Requests that wait for a CPU", MODEL),
            [((i,), requests) for i, (requests, _) in waiting.items()],
        )
        yield filled(
            gauge("slipway_queue_work_seconds", "Seconds of work that wait for a CPU", MODEL),
            [((i,), seconds) for i, (_, seconds) in waiting.items()],
        )
        running, slots = self.scheduler.running
        yield filled(gauge("slipway_slots_taken", "Slots that are computing"), [((), running)])
        yield filled(gauge("slipway_slots", "Slots to compute in"), [((), slots)])
        jobs = self.jobs
        yield filled(
            gauge("slipway_jobs", "Jobs that have not ended", "state"),
            [(("queued",), jobs.count - jobs.running), (("running",), jobs.running)],
        )
        states = ("done", "failed", "cancelled")
        yield filled(
            counter("slipway_jobs_ended", "Jobs that ended", "state"),
            [((state,), jobs.ended[state]) for state in states],
        )

    def _decoders(self) -> Iterator[Metric]:
        yield filled(
            counter("slipway_decoders_started", "Decoder processes that were started"),
            [((), sum(decoders.started for decoders in self.decoders))],
        )
        yield filled(
            counter("slipway_decoders_killed", "Of them, ended by a file, a limit or from outside"),
            [((), sum(decoders.killed for decoders in self.decoders))],
        )


def _cache(figures: CacheFigures) -> Iterator[Metric]:
    counts = figures.counters
    yield filled(
        counter("slipway_cache_lookups", "Requests that the cache may answer", "result"),
        [
            (("hit",), counts.hits),
            (("miss",), counts.misses),
            (("bypassed",), counts.bypassed),
            (("coalesced",), counts.coalesced),
        ],
    )
    yield filled(
        counter("slipway_cache_runs", "Runs of graphs that the cache may answer", "result"),
        [(("hit",), counts.run_hits), (("miss",), counts.run_misses)],
    )
    yield filled(
        counter("slipway_cache_dropped", "Entries that are gone", "reason"),
        [(("evicted",), counts.evicted), (("expired",), counts.expired)],
    )
    yield filled(
        counter("slipway_cache_shared_calls", "Calls of the shared cache", "result"),
        [
            (("hit",), counts.shared_hits),
            (("failed",), counts.shared_failures),
            (("skipped",), counts.shared_skipped),
        ],
    )
    yield filled(
        gauge("slipway_cache_shared", "1 for the state of the shared cache", "state"),
        [((state,), state == figures.shared) for state in ("none", "closed", "open")],
    )
    yield filled(gauge("slipway_cache_entries", "Entries"), [((), figures.entries)])
    yield filled(gauge("slipway_cache_bytes", "Bytes of the entries"), [((), figures.used_bytes)])
    yield filled(gauge("slipway_cache_allowed_bytes", "Most bytes"), [((), figures.limit_bytes)])


def _connections(connections: Connections) -> Iterator[Metric]:
    yield filled(
        gauge("slipway_connections", "Open connections", "phase"),
        [((phase,), count) for phase, count in connections.phases().items()],
    )
    yield filled(
        counter("slipway_connections_opened", "Connections so far"), [((), connections.opened)]
    )
    yield filled(
        counter("slipway_connection_refusals", "Heads that were refused", "status"),
        [((str(status),), count) for status, count in tuple(connections.refusals.items())],
    )
    yield filled(
        counter("slipway_network_bytes", "Bytes with the heads", "direction"),
        [(("received",), connections.received_bytes), (("sent",), connections.sent_bytes)],
    )


def _description(model: Model) -> tuple[str, ...]:
    p = model.provenance
    return (p.model, str(p.version), p.variant, p.weights_origin, model.session.provider)


def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    """Return an empty family of figures that rise and fall."""
    return GaugeMetricFamily(name, text, labels=labels)


def counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    """Return an empty family of counters; the name gets the suffix _total."""
    return CounterMetricFamily(name, text, labels=labels)


def filled(family: GaugeMetricFamily | CounterMetricFamily, rows: Rows) -> Metric:
    """Return the family with its figures."""
    for values, figure in rows:
        family.add_metric(values, float(figure))
    return family
