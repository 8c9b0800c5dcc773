"""Growth of the server, and waiting of other clients, during one trouble."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.serve.troubles.support import memory, wire
from tests.serve.troubles.support.probe import Probe, probing
from tests.serve.troubles.support.server import Server
from tests.serve.troubles.support.table import Figures
from tests.support.images import solid

PICTURE = solid(250, 250, 250)
WARM_UP = 5


PROBE_S = 0.25  # 99th percentile of /v2/health/live during any trouble


@dataclass(slots=True)
class Trouble:
    """Effects of one trouble on the server; filled when it ends."""

    before_mb: float  # resident memory before it
    probe: Probe = field(default_factory=Probe)
    growth_mb: float = 0.0  # highest resident memory during it, over that before


def warm_up(server: Server) -> None:
    """Answer a few requests first: lazy imports and threads are no part of a trouble."""
    for _ in range(WARM_UP):
        answer = wire.ask(server.port, wire.post("/v1/models/face_emotion_xception", PICTURE))
        assert answer is not None
        assert answer.status == 200
        wire.get(server.port, wire.LIVE)


@contextmanager
def trouble(
    server: Server, figures: Figures, *, growth_mb: float | None = None, probe_s: float = PROBE_S
) -> Iterator[Trouble]:
    """Measure while the block troubles the server: others are answered, and memory is bounded.

    Args:
        server: to be troubled; a few requests warm it up first.
        figures: get the latency of the probe and the growth of memory.
        growth_mb: bound of the growth; None for none.
        probe_s: bound of the 99th percentile of the probe.
    """
    warm_up(server)
    memory.reset_peak(server.pid)
    measured = Trouble(memory.rss_mb(server.pid))
    with probing(server.port) as measured.probe:
        yield measured
    measured.growth_mb = memory.peak_mb(server.pid) - measured.before_mb
    figures.equal("probes unanswered", len(measured.probe.failures), 0)
    figures.at_most("live p99", measured.probe.p99_s, probe_s, "s")
    if growth_mb is not None:
        figures.at_most("growth", measured.growth_mb, growth_mb, "MB")
