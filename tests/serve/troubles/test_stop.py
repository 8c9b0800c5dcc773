"""SIGTERM and SIGHUP: what was accepted is answered, and the end takes a bounded time."""

import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support import server as servers
from tests.serve.troubles.support.growth import PICTURE
from tests.serve.troubles.support.load import Tally, keep_alive_client, questions
from tests.serve.troubles.support.media import colours, greys
from tests.serve.troubles.support.scale import MB, Scale
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import LIVE, Client, ask, head, post
from tests.support.ports import free_port

CLIENTS = 16
GRACE_S = 2.0
END_S = 12.0  # from SIGTERM to the end of the process, with a client that never reads
EMBED = "/v1/models/image_embedding_mobilenetv2"
SLOW = "/v1/models/tiny_slow"


def test_under_keep_alive_load(start: Starter, scale: Scale, figures: Figures) -> None:
    total, codes, longest_s = Tally(), [], 0.0
    for round_number in range(scale.stops):
        server = start()
        catalogue = questions(server.port, EMBED, colours(32))
        end = time.monotonic() + 20
        with ThreadPoolExecutor(CLIENTS) as pool:
            for client in range(CLIENTS):
                shifted = catalogue[client:] + catalogue[:client]
                pool.submit(keep_alive_client, server.port, shifted, total, end)
            time.sleep(0.4 + 0.037 * round_number)
            begin = time.monotonic()
            server.process.send_signal(signal.SIGINT if round_number == 1 else signal.SIGTERM)
            codes.append(server.process.wait(timeout=40))
            longest_s = max(longest_s, time.monotonic() - begin)
    figures.at_least("answered", total.right, 100)
    figures.equal("accepted requests lost", total.lost, 0)
    figures.equal("wrong rows", total.wrong, 0)
    figures.equal("other answers", total.other, [])
    figures.equal("exit codes", set(codes), {0})
    figures.at_most("longest stop", longest_s, GRACE_S + 3, "s")


def test_grace(start: Starter, figures: Figures) -> None:
    """Check that for two seconds new clients are answered and told to leave; ready is 503."""
    server = start()
    with Client(server.port) as before:
        before.send(head("GET", LIVE))
        assert before.answer() is not None
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        live = ask(server.port, head("GET", LIVE))
        figures.equal("live", live and live.status, 200)
        says = "" if live is None else live.headers.get("connection", "")
        figures.equal("Connection of a new client", says, "close")
        ready = ask(server.port, head("GET", "/v2/health/ready"))
        figures.equal("ready", ready and ready.status, 503)
        before.send(head("GET", LIVE))
        old = before.answer()
        says = "" if old is None else old.headers.get("connection", "")
        figures.equal("Connection of an old client", says, "close")
    figures.equal("exit code", server.process.wait(timeout=20), 0)


def test_a_running_request_is_answered(start: Starter, figures: Figures) -> None:
    server = start()
    bright = greys(150, 145, 140, 135)  # runs of half a second or more
    answers: list[str] = []

    def client(picture: bytes) -> None:
        answer = ask(server.port, post(SLOW, picture), timeout_s=60)
        answers.append("lost" if answer is None else str(answer.status))

    threads = [threading.Thread(target=client, args=(picture,)) for picture in bright]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    figures.equal("answers", sorted(answers), ["200"] * len(bright))
    figures.equal("exit code", server.process.wait(timeout=40), 0)


def test_with_a_client_that_never_reads(start: Starter, scale: Scale, figures: Figures) -> None:
    server = start(settings={"TIMEOUT": "3"})
    body = bytes(3 * MB // 768 * 768)
    raw = "Inference-Header-Content-Length: 0"
    with Client(server.port, receive_bytes=4096) as stuck, Client(server.port) as half:
        stuck.send(post("/v2/models/background_u2netp/infer", body, raw))
        half.send(head("POST", EMBED, "Content-Length: 1000"))
        time.sleep(0.5)
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(timeout=60)
    figures.at_most("end after", time.monotonic() - begin, END_S, "s")
    figures.equal("exit code", code, 0)


def test_from_the_first_instant(
    figures: Figures, scale: Scale, tiny: Path, tmp_path: Path, start: Starter
) -> None:
    """Stop a process while it starts; it ends without a traceback."""
    codes, longest_s, traces = set(), 0.0, 0
    for delay_ms in range(0, 900 if scale.soak else 600, 50 if scale.soak else 150):
        log = tmp_path / f"early-{delay_ms}.log"
        with open(log, "wb") as stream:
            process = subprocess.Popen(
                servers.command(tiny, free_port()), cwd=start.checkout, stderr=stream,
                stdout=subprocess.DEVNULL, env=servers.environment({}),
            )  # fmt: skip
        time.sleep(delay_ms / 1000)
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        codes.add(process.wait(timeout=30))
        longest_s = max(longest_s, time.monotonic() - begin)
        traces += "Traceback" in log.read_text(encoding="utf-8", errors="replace")
    # -15: the interpreter had not come to our first line
    figures.equal("exit codes", codes <= {0, -signal.SIGTERM}, True)
    figures.at_most("end after", longest_s, GRACE_S + 3, "s")
    figures.equal("tracebacks", traces, 0)


def test_sighup_does_not_kill(start: Starter, figures: Figures) -> None:
    server = start()
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    figures.equal("still runs", server.process.poll(), None)
    answer = ask(server.port, post("/v1/models/face_emotion_xception", PICTURE))
    figures.equal("answers", answer and answer.status, 200)
