"""A server behind the real nginx or HAProxy, with the files of deploy/proxies."""

import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.ports import free_port
from tests.support.server_process import PROJECT, Server, serving

FILES: Mapping[str, Path] = {
    "nginx": PROJECT / "deploy/proxies/nginx.conf",
    "haproxy": PROJECT / "deploy/proxies/haproxy.cfg",
}
TIMEOUT_S = 2


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy, and the server behind it."""

    name: str
    server: Server
    plain_port: int
    port: int  # of TLS
    certificate: Path

    @property
    def context(self) -> ssl.SSLContext:
        """Return a context that trusts the proxy's certificate."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def client(self) -> httpx.Client:
        """Return a client of the proxy."""
        url = f"https://localhost:{self.port}"
        return httpx.Client(base_url=url, verify=self.context, timeout=60)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a self-signed certificate of localhost; its key is beside it."""
    openssl = _installed("openssl")
    folder = tmp_path_factory.mktemp("tls")
    folder.chmod(0o755)
    arguments = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [openssl, *arguments.split(), *subject], cwd=folder, check=True, capture_output=True
    )
    both = (folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes()
    (folder / "both.pem").write_bytes(both)
    return folder / "cert.pem"


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def proxy(
    request: pytest.FixtureRequest,
    artifacts: Path,
    certificate: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxy]:
    """Serve under /emotion behind a proxy."""
    _installed(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    environ = {
        "SLIPWAY_BASE_PATH": "/emotion",
        "SLIPWAY_TRUSTED_PROXIES": "127.0.0.1",
        "TIMEOUT": str(TIMEOUT_S),
    }
    with serving("--artifacts", str(artifacts), **environ) as server:
        backend = int(server.url.rpartition(":")[2])
        proxy = Proxy(request.param, server, free_port(), free_port(), certificate)
        with _running(proxy, folder, backend):
            yield proxy


def _installed(program: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


@contextmanager
def _running(proxy: Proxy, folder: Path, backend: int) -> Iterator[None]:
    path = folder / FILES[proxy.name].name
    text = _with_ports(FILES[proxy.name].read_text(encoding="utf-8"), proxy, backend)
    program = _installed(proxy.name)
    if proxy.name == "nginx":
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        text = text.replace("http {", f"http {{\n{temporary}", 1)
        text = text.replace("/run/nginx.pid", f"{folder}/nginx.pid")
        command = [program, "-c", str(path), "-p", str(folder), "-g", "daemon off;"]
    else:
        command = [program, "-f", str(path), "-db"]
    path.write_text(text, encoding="utf-8")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(proxy, process)
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def _with_ports(text: str, proxy: Proxy, backend: int) -> str:
    replacements = (
        (r"127\.0\.0\.1:8000\b", f"127.0.0.1:{backend}"),
        (r"/etc/slipway\b", str(proxy.certificate.parent)),
        (r"\b(listen |bind :)80\b", f"\\g<1>{proxy.plain_port}"),
        (r"\b(listen |bind :)443\b", f"\\g<1>{proxy.port}"),
    )
    for pattern, replacement in replacements:
        text, count = re.subn(pattern, replacement, text)
        assert count, pattern
    return text


def _wait_for(proxy: Proxy, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    with proxy.client() as client:
        while time.monotonic() < deadline:
            assert process.poll() is None, f"{proxy.name} ended"
            try:
                if client.get("/emotion/v2/health/ready").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    raise AssertionError(f"{proxy.name} does not answer")
