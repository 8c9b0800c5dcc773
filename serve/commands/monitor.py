"""`python -m serve monitor [URL]`: the figures of a running server, every second."""

import argparse
import http.client
import itertools
import shutil
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from serve.metrics.snapshot import Change, Snapshot

DEFAULT_URL = "http://127.0.0.1:8000"
PATH = "/metrics"
TIMEOUT_S = 5.0
MOST_BYTES = 16 * 2**20  # of an answer
MB = 1e6
LEAST_S, MOST_S = 0.5, 3600.0  # between two looks: the server renews its figures so often
CLEAR = "\x1b[H\x1b[2J"
_COLUMNS = ("model", "state", "ok/s", "run p50", "wait p99", "queue", "memory")
_SECONDS = "slipway_request_seconds"
_STAGES = "slipway_stage_seconds"


class MonitorError(Exception):
    """The figures cannot be read; the message says why."""


def main(arguments: Sequence[str]) -> int:
    """Print the figures until Ctrl-C; return 0, or 1 if the first ones cannot be read."""
    options = _parser().parse_args(arguments)
    stop = threading.Event()
    # a flag: an exception that is raised in a destructor is lost
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        return _watch(_address(options.url), options.interval, options.count, stop)
    except MonitorError as error:
        print(f"python -m serve monitor: {error}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGINT, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serve monitor", description=__doc__)
    parser.add_argument(
        "url",
        nargs="?",
        default=DEFAULT_URL,
        help="of the server, or of its port of the metrics (default: %(default)s)",
    )
    parser.add_argument(
        "--interval", type=_interval, default=1.0, metavar="SECONDS",
        help=f"between two looks, {LEAST_S:g} to {MOST_S:g} (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--count", type=int, default=0, metavar="N", help="looks to take; 0: until Ctrl-C"
    )
    return parser


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not LEAST_S <= seconds <= MOST_S:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: seconds, {LEAST_S:g} to {MOST_S:g}")
    return seconds


def _address(url: str) -> str:
    """Return the address of the metrics.

    Raises:
        MonitorError: the URL has another form.
    """
    parts = urlsplit(url if "//" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MonitorError(f"URL is {url!r}; allowed: http://HOST:PORT, with or without a path")
    path = parts.path.rstrip("/").removesuffix(PATH)
    return f"{parts.scheme}://{parts.netloc}{path}{PATH}"


def _watch(address: str, interval_s: float, count: int, stop: threading.Event) -> int:
    before = read(address)
    is_terminal = sys.stdout.isatty()
    for _ in range(count) if count else itertools.count():
        if stop.wait(interval_s):
            break
        try:
            after = read(address)
        except MonitorError as error:  # it may be started again
            print(f"{CLEAR if is_terminal else ''}{error}", flush=True)
            continue
        change = Change(before, after)
        if is_terminal:
            width = shutil.get_terminal_size().columns
            lines = (line[:width] for line in table(change, address))
            print(CLEAR + "\n".join(lines), flush=True)
        else:
            print(one_line(change), flush=True)
        before = after
    return 0


def read(address: str) -> Snapshot:
    """Return the figures of a server.

    Raises:
        MonitorError: it does not answer, or with something else.
    """
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
            data = answer.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        hint = "; the server may have a port of its own for them, SLIPWAY_METRICS_PORT"
        raise MonitorError(
            f"{address} answers {error.code}{hint if error.code == 404 else ''}"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise MonitorError(f"{address} does not answer: {reason}") from None
    if len(data) > MOST_BYTES:
        raise MonitorError(f"{address} answers more than {MOST_BYTES} bytes")
    try:
        snapshot = Snapshot.parse(data.decode(), time.monotonic())
    except ValueError:
        snapshot = Snapshot(0.0)
    if not snapshot.has("slipway_build_info"):
        raise MonitorError(f"{address} has no figures of Slipway")
    return snapshot


def figures(change: Change) -> dict[str, str]:
    """Return the figures of the whole server as text, by name."""
    after = change.after
    requests = "slipway_requests_total"
    errors = sum(change.rate(requests, status=str(status)) for status in (500, 503))
    return {
        "requests/s": f"{change.rate(requests):.1f}",
        "errors/s": f"{errors:.1f}",
        "p50": _milliseconds(change.quantile(0.5, _SECONDS)),
        "p99": _milliseconds(change.quantile(0.99, _SECONDS)),
        "waiting": f"{after.total('slipway_queue_requests'):.0f}",
        "slots": f"{after.total('slipway_slots_taken'):.0f}/{after.total('slipway_slots'):.0f}",
        "jobs": f"{after.total('slipway_jobs'):.0f}",
        "memory": f"{after.total('process_resident_memory_bytes') / MB:.0f}MB",
        "cache": _cache(change),
    }


def one_line(change: Change) -> str:
    """Return the figures as one plain line."""
    words = [f"{name}={text}" for name, text in figures(change).items()]
    return " ".join([time.strftime("%H:%M:%S"), _ready(change.after), *words])


def table(change: Change, address: str) -> Iterator[str]:
    """Yield the lines of the figures, and of each model."""
    yield f"{address}  {_ready(change.after)}  {time.strftime('%H:%M:%S')}  (Ctrl-C ends)"
    yield ""
    whole = figures(change)
    yield from _aligned([tuple(whole), tuple(whole.values())])
    yield ""
    models = sorted(change.after.by("model", "slipway_model_state"))
    yield from _aligned([_COLUMNS, *(_model(change, model) for model in models)])


def _model(change: Change, model: str) -> tuple[str, ...]:
    after = change.after
    states = after.by("state", "slipway_model_state", model=model)
    return (
        model,
        max(states, key=lambda state: states[state]),
        f"{change.rate('slipway_answer_seconds_count', model=model):.1f}",
        _milliseconds(change.quantile(0.5, _STAGES, model=model, stage="run")),
        _milliseconds(change.quantile(0.99, _STAGES, model=model, stage="queue")),
        f"{after.total('slipway_queue_requests', model=model):.0f}",
        f"{after.total('slipway_model_memory_bytes', model=model) / MB:.0f}MB",
    )


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Yield the rows with their columns under each other, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        yield "  ".join([f"{first:<{widths[0]}}", *cells])


def _ready(snapshot: Snapshot) -> str:
    by_process = [sample.value for sample in snapshot.samples if sample.name == "slipway_ready"]
    return "ready" if all(by_process) else "NOT READY"


def _cache(change: Change) -> str:
    """Return the share of look-ups that the result cache answered since the start."""
    looked = change.after.by("result", "slipway_cache_lookups_total")
    total = looked.get("hit", 0.0) + looked.get("miss", 0.0)
    return f"{100 * looked.get('hit', 0.0) / total:.0f}%" if total else "-"


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{1000 * seconds:.1f}ms" if seconds < 1 else f"{seconds:.2f}s"
