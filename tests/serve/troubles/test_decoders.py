"""Decoder processes that are killed or that hang cost nobody else anything."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support import memory
from tests.serve.troubles.support.growth import PICTURE, trouble
from tests.serve.troubles.support.load import RAW, Tally, keep_alive_client, questions
from tests.serve.troubles.support.media import clip, flac
from tests.serve.troubles.support.scale import Scale
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import ask, post

CLIENTS = 6
ROUTE = "/v1/models/face_emotion_xception"
DECODE_S = 3


def decoders(pid: int) -> list[int]:
    """Return the decoder processes of a server."""
    return memory.process_tree(pid)[1:]


def test_killed_under_load(start: Starter, scale: Scale, figures: Figures, tmp_path: Path) -> None:
    server = start()
    catalogue = questions(server.port, "/v1/gait", [clip(tmp_path, level=v) for v in (0, 128, 255)])
    catalogue += questions(server.port, "/v1/voice-emotion", [flac(1), flac(2)])
    tally, kills = Tally(), 0
    end = time.monotonic() + scale.load_s
    with ThreadPoolExecutor(CLIENTS) as pool:
        for client in range(CLIENTS):
            shifted = catalogue[client % 5 :] + catalogue[: client % 5]
            pool.submit(keep_alive_client, server.port, shifted, tally, end)
        while time.monotonic() < end:
            time.sleep(0.3)
            for pid in decoders(server.pid)[:1]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
    figures.at_least("decoders killed", kills, 3)
    figures.at_least("answered", tally.right, 5)
    figures.equal("wrong rows", tally.wrong, 0)
    figures.equal("accepted requests lost", tally.lost, 0)
    # 400 would say that a good clip is bad
    figures.equal("answers other than 200, 429, 503", sorted(set(tally.other)), [])


def test_two_that_hang(start: Starter, scale: Scale, figures: Figures, tmp_path: Path) -> None:
    server = start(settings={"SLIPWAY_DECODE_TIMEOUT": str(DECODE_S)})
    good = clip(tmp_path)
    request = post("/v1/gait", good, RAW)

    def ask_clip() -> str:
        answer = ask(server.port, request, timeout_s=60)
        return "lost" if answer is None else str(answer.status)

    with ThreadPoolExecutor(2) as pool:  # two decoders that are idle afterwards
        figures.equal("before", list(pool.map(lambda _: ask_clip(), range(4))), ["200"] * 4)
    stopped = decoders(server.pid)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    hung: list[str] = []
    with trouble(server, figures):
        threads = [threading.Thread(target=lambda: hung.append(ask_clip())) for _ in range(2)]
        hung_since = time.monotonic()
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        waits = []
        for _ in range(20):
            begin = time.monotonic()
            answer = ask(server.port, post(ROUTE, PICTURE), timeout_s=60)
            waits.append(time.monotonic() - begin)
            figures.equal("a picture", answer and answer.status, 200)
        for thread in threads:
            thread.join()
    hung_s = time.monotonic() - hung_since
    figures.at_least("decoders that hung", len(stopped), 1)
    figures.at_most("longest wait of a picture", max(waits), 0.25, "s")
    figures.at_most("clips of hung decoders answered after", hung_s, 2 * DECODE_S + 2, "s")
    figures.equal("no 400 for them", "400" in hung, False)
    figures.equal("a clip afterwards", ask_clip(), "200")
    figures.equal("decoders that hung are gone", set(stopped) & set(decoders(server.pid)), set())
