"""The load: wrk where it is installed, else the project's own; the same for all servers."""

import json
import math
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.peers.process import HOST, Request
from benchmarks.serving.load import GRACE_S, Job, Load, run_load

_SCRIPT = """
local file = io.open(os.getenv("PEER_BODY"), "rb")
wrk.method, wrk.body = "POST", file:read("*a")
file:close()
wrk.headers["Content-Type"] = os.getenv("PEER_TYPE")
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "micros": %d, "errors": %d, "p50": %d, "p95": %d, "p99": %d}\\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
"""


def generator() -> str:
    """Return the name of the load generator."""
    return "wrk" if shutil.which("wrk") else "benchmarks.serving.load"


def send(port: int, request: Request, clients: int, seconds: float) -> Load:
    """Send a request over and over from several clients.

    Raises:
        BenchmarkError: an answer was not 200, or there was none.
    """
    url = f"http://{HOST}:{port}{request.path}"
    with tempfile.TemporaryDirectory(prefix="slipway-peers-") as folder:
        body = Path(folder, "body")
        body.write_bytes(request.body)
        if generator() != "wrk":
            headers = {"Content-Type": request.media_type}
            return run_load(Job(url, str(body), clients, seconds, headers))
        script = Path(folder, "load.lua")
        script.write_text(_SCRIPT, encoding="utf-8")
        environment = {"PEER_BODY": str(body), "PEER_TYPE": request.media_type}
        return _wrk(url, script, environment, clients, seconds)


def _wrk(url: str, script: Path, environment: dict[str, str], clients: int, seconds: float) -> Load:
    command = ["wrk", "-t1", f"-c{clients}", f"-d{math.ceil(seconds)}s", "--timeout", "30s"]
    process = subprocess.run(
        [*command, "-s", str(script), url],
        env=environment,
        executable=shutil.which("wrk"),
        capture_output=True,
        text=True,
        timeout=seconds + GRACE_S,
        check=False,
    )
    return read_wrk(process.stdout, f"{process.stdout} {process.stderr}"[-500:])


def read_wrk(output: str, message: str) -> Load:
    """Return the load that the script has printed as JSON in the last line.

    Raises:
        BenchmarkError: there is none, or an answer was not 200.
    """
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise BenchmarkError(f"wrk failed: {message.strip()}")
    value = json.loads(lines[-1])
    if value["errors"] or not value["requests"]:
        raise BenchmarkError(f"{value['errors']} of {value['requests']} requests failed: {message}")
    return Load(
        requests=value["requests"],
        wall_s=value["micros"] / 1e6,
        p50_ms=value["p50"] / 1000,
        p95_ms=value["p95"] / 1000,
        p99_ms=value["p99"] / 1000,
    )
