"""Compare the simulation with real servers whose model sleeps.

    python -m tests.serve.commands.simulation.comparison --seconds 60

prints the table that deploy/SCALE.md has. The simulation gets the arrivals as they were sent and
the seconds that each had its slot; what is compared is the scheduling.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from serve.commands.simulation.arrivals import Arrival, Draw, Source, constant, exponential, poisson
from serve.commands.simulation.fleet import Balance, Fleet, quantile, simulate
from serve.commands.simulation.replica import End
from serve.scheduling.admission import Limits
from tests.serve.commands.simulation.open_load import send_all
from tests.support.artifacts import TENSORS, write_artifact
from tests.support.ports import free_port, wait_for_port
from tests.support.server_process import PROJECT

PATH = f"/v2/models/{TENSORS}/infer"
SLOTS, QUEUE_S = 2, 1
LIMITS = Limits(QUEUE_S, 512, 30.0)
HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    retries 0
frontend all
    bind 127.0.0.1:{port}
    default_backend replicas
backend replicas
    balance {algorithm}
    http-reuse always
{servers}
"""
ALGORITHMS: dict[Balance, str] = {"round-robin": "roundrobin", "least-open": "leastconn"}


@dataclass(frozen=True, slots=True)
class Figures:
    """The latencies of the answered requests, and how many were not answered."""

    mean_s: float
    p50_s: float
    p99_s: float
    answered: int
    refused: int


@dataclass(frozen=True, slots=True)
class Case:
    """A load, and the real and simulated figures."""

    name: str
    requests: int
    utilisation: float  # as simulated
    real: Figures
    simulated: Figures


@contextmanager
def stub_servers(folder: Path, count: int) -> Iterator[list[str]]:
    """Run servers whose model sleeps until the block ends; yield their URLs."""
    write_artifact(folder, TENSORS)
    module = "tests.serve.commands.simulation.stub_server"
    command = [sys.executable, "-m", module, str(folder), str(SLOTS), str(QUEUE_S)]
    with ExitStack() as stack:
        processes = []
        for _ in range(count):
            process = subprocess.Popen(
                command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        yield [process.stdout.readline().strip() for process in processes if process.stdout]


@contextmanager
def balancer(folder: Path, urls: Sequence[str], balance: Balance) -> Iterator[str]:
    """Run HAProxy before servers until the block ends; yield its URL."""
    program = find_haproxy()
    assert program is not None
    port = free_port()
    servers = "\n".join(
        f"    server s{number} {url.removeprefix('http://')}" for number, url in enumerate(urls)
    )
    path = folder / f"{balance}.cfg"
    algorithm = ALGORITHMS[balance]
    path.write_text(HAPROXY.format(port=port, servers=servers, algorithm=algorithm), "utf-8")
    process = subprocess.Popen([program, "-f", str(path), "-db"], stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def find_haproxy() -> str | None:
    """Return the path of HAProxy; None where it is not installed."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")


def compare(
    name: str, url: str, arrivals: Sequence[Arrival], *, replicas: int, balance: Balance
) -> Case:
    """Send arrivals to real servers, and simulate what was sent."""
    idle = send_all(url, PATH, [Arrival(number / 10, TENSORS, 0.01) for number in range(10)])
    outside_s = statistics.median(one.latency_s - one.sent.service_s for one in idle)
    answers = send_all(url, PATH, arrivals)
    sent = [answer.sent for answer in answers]
    fleet = Fleet(replicas, SLOTS, LIMITS, balance, outside_s)
    outcome = simulate(sorted(sent, key=lambda arrival: arrival.time_s), fleet)
    real_s = [answer.latency_s for answer in answers if answer.status == 200]
    refused = sum(answer.status == 429 for answer in answers)
    assert refused + len(real_s) == len(answers), {answer.status for answer in answers}
    return Case(
        name,
        len(sent),
        outcome.utilisation,
        figures_of(real_s, refused),
        figures_of(outcome.all_s, outcome.ends[End.REFUSED]),
    )


def figures_of(times_s: Sequence[float], refused: int) -> Figures:
    """Return the figures of latencies."""
    mean_s = statistics.fmean(times_s)
    p50_s, p99_s = quantile(times_s, 0.5), quantile(times_s, 0.99)
    return Figures(mean_s, p50_s, p99_s, len(times_s), refused)


def load_of(utilisation: float, draw: Draw, mean_s: float, seconds: float) -> list[Arrival]:
    """Return arrivals that keep the slots of one replica so busy."""
    rate = utilisation * SLOTS / mean_s
    return poisson([Source(TENSORS, rate, draw)], seconds, seed=7)


def row(case: Case) -> str:
    """Return the row of a table: real, simulated."""
    real, simulated = case.real, case.simulated
    times = [
        f"{1000 * one:.0f}, {1000 * other:.0f}"
        for one, other in zip(
            (real.mean_s, real.p50_s, real.p99_s),
            (simulated.mean_s, simulated.p50_s, simulated.p99_s),
            strict=True,
        )
    ]
    cells = [case.name, str(case.requests), f"{case.utilisation:.2f}", *times]
    return f"| {' | '.join(cells)} | {real.refused}, {simulated.refused} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    parser.add_argument("--sleep", type=float, default=0.05, help="mean seconds of a run")
    options = parser.parse_args()
    seconds, mean_s = options.seconds, options.sleep
    draws = {"equal": constant(mean_s), "exponential": exponential(mean_s)}
    with tempfile.TemporaryDirectory() as name, stub_servers(Path(name) / "a", 2) as urls:
        for kind, draw in draws.items():
            for utilisation in (0.5, 0.7, 0.8, 1.3):
                arrivals = load_of(utilisation, draw, mean_s, seconds)
                case = compare(
                    f"1 replica, {kind}", urls[0], arrivals, replicas=1, balance="round-robin"
                )
                print(row(case), flush=True)
        for balance in ALGORITHMS:
            with balancer(Path(name), urls, balance) as url:
                for utilisation in (0.5, 0.7):
                    arrivals = load_of(2 * utilisation, draws["exponential"], mean_s, seconds)
                    case = compare(
                        f"2, {balance}, exponential", url, arrivals, replicas=2, balance=balance
                    )
                    print(row(case), flush=True)


if __name__ == "__main__":
    main()
