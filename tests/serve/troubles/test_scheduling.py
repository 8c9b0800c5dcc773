"""More requests than the server can answer, and clients that leave."""

import asyncio
import os
import random
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support import load
from tests.serve.troubles.support.cpu import cpu_s
from tests.serve.troubles.support.growth import PICTURE, trouble
from tests.serve.troubles.support.load import Question, Tally, questions
from tests.serve.troubles.support.media import colours, greys, photos
from tests.serve.troubles.support.scale import Scale
from tests.serve.troubles.support.server import Server
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import Client, ask, head, post

SLOW = "/v1/models/tiny_slow"
EMBED = "/v1/models/image_embedding_mobilenetv2"
LONG = greys(150)[0]  # a run of half a second or more
PATIENCE_S = 5.0
TIMINGS = ("queue", "decode", "run", "encode")


def test_impatient_clients(start: Starter, scale: Scale, figures: Figures) -> None:
    """Clients give up at any moment; those that stay get the answers to their own pictures."""
    server = start()
    catalogue = questions(server.port, SLOW, greys(*range(4, 68, 4)))
    catalogue += questions(server.port, EMBED, colours(48))
    random.Random(0).shuffle(catalogue)  # the same order in each run
    tally = Tally()

    async def client(number: int) -> None:
        generator = random.Random(number)
        for turn in range(6):
            question = catalogue[(number * 7 + turn) % len(catalogue)]
            patience_s = generator.choice((0.005, 0.05, 0.3, 1.0, 30.0))
            await load.ask_once(server.port, question, tally, patience_s=patience_s)

    async def all_clients() -> None:
        await asyncio.gather(*(client(number) for number in range(scale.impatient)))

    with trouble(server, figures):
        asyncio.run(all_clients())
        answer = ask(server.port, catalogue[0].request)
    figures.equal("wrong rows", tally.wrong, 0)
    figures.equal("accepted requests lost", tally.lost, 0)
    figures.equal("answers other than 200, 429, 503", sorted(set(tally.other)), [])
    figures.at_least("clients that gave up", tally.gave_up, scale.impatient)
    figures.at_least("clients that were answered", tally.right, scale.impatient)
    figures.equal("afterwards", answer and load.result_of(answer), catalogue[0].result)


def test_what_nobody_waits_for_is_ended(start: Starter, figures: Figures) -> None:
    """CPU time shows it, which a busy machine does not change."""
    server = start()
    questions(server.port, SLOW, [LONG])
    used = cpu_s(server.pid)
    questions(server.port, SLOW, [LONG])
    whole_s = cpu_s(server.pid) - used
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in range(6)]
        for client in clients:
            client.send(post(SLOW, LONG))
        time.sleep(0.3)
    time.sleep(0.1)  # 50 ms, and what the kernel takes to tell of the end
    before = cpu_s(server.pid)
    time.sleep(1.5)
    after_s = cpu_s(server.pid) - before
    figures.at_least("CPU of one run", whole_s, 0.1, "s CPU")
    figures.at_most("CPU after all clients left", after_s, 0.1, "s CPU")
    answer = ask(server.port, post(EMBED, PICTURE))
    figures.equal("a request afterwards", answer and answer.status, 200)


def test_what_cannot_start_in_time_is_refused_at_once(start: Starter, figures: Figures) -> None:
    server = start(settings={"TIMEOUT": "3"})
    catalogue = questions(server.port, SLOW, [LONG])  # the server learns how long a run takes
    lines: list[str] = []
    waits_s: list[float] = []

    async def heads() -> None:
        """Send heads without bodies while the queue is full."""
        await asyncio.sleep(1.0)
        for _ in range(10):
            begin = time.monotonic()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(head("POST", SLOW, "Content-Length: 5000000", "Expect: 100-continue"))
            lines.append((await reader.readline()).decode().strip())
            waits_s.append(time.monotonic() - begin)
            writer.transport.abort()
            await asyncio.sleep(0.1)

    async def both() -> Tally:
        burst = load.arrivals(server.port, catalogue, rate=20, seconds=3, patience_s=60)
        tally, _ = await asyncio.gather(burst, heads())
        return tally

    with trouble(server, figures):
        begin = time.monotonic()
        tally = asyncio.run(both())
        lasted_s = time.monotonic() - begin
    figures.at_least("refused", tally.refused, 20)
    figures.at_least("answered", tally.right, 2)
    figures.equal("other answers", sorted(set(tally.other)), [])
    figures.equal("accepted requests lost", tally.lost, 0)
    early = sum(" 429 " in line for line in lines)
    figures.at_least("of 10 heads, refused before the body", early, 5)
    figures.at_most("longest wait of a head", max(waits_s), 0.25, "s")
    figures.at_most("all answered after", lasted_s, 3 + 3 + 2, "s")


def test_retry_after_and_timings(start: Starter, figures: Figures) -> None:
    server = start(settings={"TIMEOUT": "3"})
    questions(server.port, SLOW, [LONG])
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in range(20)]
        for client in clients:
            client.send(post(SLOW, LONG))
        answers = [client.answer() for client in clients]
    good = [answer for answer in answers if answer is not None and answer.status == 200]
    busy = [answer for answer in answers if answer is not None and answer.status != 200]
    # 503: it was accepted, but the runs before it took longer than expected
    others = {answer.status for answer in answers if answer} - {200, 429, 503}
    figures.equal("answers other than 200, 429, 503", sorted(others), [])
    figures.equal("accepted requests lost", sum(answer is None for answer in answers), 0)
    figures.at_least("refused", len(busy), 1)
    waits = [int(answer.headers.get("retry-after", "0")) for answer in busy]
    figures.at_least("shortest Retry-After", min(waits, default=0), 1, "s ")
    figures.at_least("longest Retry-After: of the queue", max(waits, default=0), 2, "s ")
    timing = good[0].headers.get("server-timing", "") if good else ""
    figures.equal("Server-Timing", [name for name in TIMINGS if name in timing], list(TIMINGS))


def test_deadlines_of_the_protocol(start: Starter, figures: Figures) -> None:
    """Send the parameter `timeout` of an infer request, in microseconds."""
    server = start()
    questions(server.port, SLOW, [LONG])
    infer = (
        b'{"parameters":{"timeout":%d},"inputs":[{"name":"image","datatype":"UINT8",'
        b'"shape":[1,8,8,1],"data":[' + b",".join([b"60"] * 64) + b"]}]}"
    )
    with ExitStack() as stack:
        for _ in range(4):  # both workers are busy for a second
            stack.enter_context(Client(server.port)).send(post(SLOW, LONG))
        time.sleep(0.2)
        begin = time.monotonic()
        answer = ask(server.port, post("/v2/models/tiny_slow/infer", infer % 100_000))
        seconds = time.monotonic() - begin
    figures.one_of("status", answer and answer.status, (429, 503))
    figures.at_most("after", seconds, 0.4, "s")
    patient = ask(server.port, post("/v2/models/tiny_slow/infer", infer % 60_000_000))
    figures.equal("with time enough", patient and patient.status, 200)


def test_a_burst_of_one_model_does_not_starve_another(
    start: Starter, scale: Scale, figures: Figures
) -> None:
    server = start()
    slow = questions(server.port, SLOW, greys(80, 84, 88))
    fast = questions(server.port, EMBED, colours(16))
    run_s = statistics.median(time_of(server, slow[0]) for _ in range(3))
    idle = asyncio.run(load.arrivals(server.port, fast, rate=20, seconds=1, patience_s=30))
    capacity = (os.cpu_count() or 1) / run_s

    async def both() -> tuple[Tally, Tally]:
        burst = load.arrivals(
            server.port, slow, rate=4 * capacity, seconds=scale.load_s, patience_s=60
        )
        others = load.arrivals(server.port, fast, rate=20, seconds=scale.load_s, patience_s=60)
        return tuple(await asyncio.gather(burst, others))  # type: ignore[return-value]  # a pair

    with trouble(server, figures):
        busy, others = asyncio.run(both())
    bound_s = shown_bound(figures, idle, run_s)
    figures.show("longest run under this load", max(busy.runs_s, default=0), "s")
    figures.equal("others answered", others.right, int(20 * scale.load_s))
    figures.at_most("p99 of others", others.quantile_s(0.99), bound_s, "s")
    figures.at_least("answered of the burst", busy.right, 2)
    figures.equal("wrong rows", busy.wrong + others.wrong, 0)
    figures.equal("other answers", sorted({*busy.other, *others.other}), [])


def shown_bound(figures: Figures, idle: Tally, run_s: float) -> float:
    """Return twice the idle p99 and a run of the slow model, in seconds; show both."""
    figures.show("p99 idle", idle.quantile_s(0.99), "s")
    figures.show("run of the slow model", run_s, "s")
    return 2 * idle.quantile_s(0.99) + run_s


def time_of(server: Server, question: Question) -> float:
    """Return the seconds of one request on an idle server."""
    begin = time.monotonic()
    ask(server.port, question.request)
    return time.monotonic() - begin


@pytest.fixture
def real(scale: Scale, tmp_path: Path) -> Path:
    """Return converted models, those that SLIPWAY_ARTIFACTS names; only the soak asks for them."""
    if not scale.soak:
        pytest.skip("in make soak")
    source = Path(os.environ.get("SLIPWAY_ARTIFACTS") or "artifacts").resolve()
    names = ("background_u2netp", "face_emotion_xception", "face_detector_yunet")
    root = tmp_path / "real"
    root.mkdir()
    for name in names:
        if (source / name).is_dir():
            (root / name).symlink_to(source / name)
    if len(list(root.iterdir())) < 2:
        pytest.skip(f"SLIPWAY_ARTIFACTS: {source} does not hold {names}")
    return root


def test_goodput(start: Starter, scale: Scale, figures: Figures, real: Path) -> None:
    """Ask at ten times the capacity, with clients that give up after 5 s."""
    server = start(real, settings={"SLIPWAY_ALLOW_SEEDED": "1"})
    catalogue = questions(server.port, "/v1/models/background_u2netp", photos(8))
    clients = 2 * (os.cpu_count() or 1)
    peak = asyncio.run(
        load.closed_loop(server.port, catalogue, clients=clients, seconds=scale.load_s)
    )
    peak_rate = peak.right / scale.load_s

    async def overload() -> Tally:
        return await load.arrivals(
            server.port, catalogue, rate=10 * peak_rate, seconds=2 * scale.load_s,
            patience_s=PATIENCE_S,
        )  # fmt: skip

    with trouble(server, figures):
        tally = asyncio.run(overload())
    rate = tally.right / (2 * scale.load_s)
    figures.at_least("peak", peak_rate, 0.5, "/s")
    figures.at_least("goodput, share of peak", rate / peak_rate, 0.9)
    figures.equal("wrong rows", tally.wrong, 0)
    figures.equal("other answers", sorted(set(tally.other)), [])
    figures.equal("accepted requests lost", tally.lost, 0)


def test_faces_beside_cut_outs(start: Starter, scale: Scale, figures: Figures, real: Path) -> None:
    """Ask for faces, and for cut-outs at four times their capacity."""
    server = start(real, settings={"SLIPWAY_ALLOW_SEEDED": "1"})
    cut_outs = questions(server.port, "/v1/background", photos(4))
    faces = questions(server.port, "/v1/face-emotion", photos(8, height=240, width=320))
    run_s = statistics.median(time_of(server, cut_outs[0]) for _ in range(5))
    capacity = (os.cpu_count() or 1) / run_s
    idle = asyncio.run(
        load.arrivals(server.port, faces, rate=5, seconds=scale.load_s, patience_s=60)
    )

    async def both() -> tuple[Tally, Tally]:
        burst = load.arrivals(
            server.port, cut_outs, rate=4 * capacity, seconds=scale.load_s, patience_s=60
        )
        others = load.arrivals(server.port, faces, rate=5, seconds=scale.load_s, patience_s=60)
        return tuple(await asyncio.gather(burst, others))  # type: ignore[return-value]  # a pair

    with trouble(server, figures):
        busy, others = asyncio.run(both())
    bound_s = shown_bound(figures, idle, run_s)
    figures.show("longest run under this load", max(busy.runs_s, default=0), "s")
    figures.at_most("face emotion p99", others.quantile_s(0.99), bound_s, "s")
    figures.equal("faces answered", others.right, int(5 * scale.load_s))
    figures.equal("wrong rows", busy.wrong + others.wrong, 0)
    figures.equal("other answers", sorted({*busy.other, *others.other}), [])
