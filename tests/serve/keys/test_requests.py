"""API keys, rates and security headers of a real server."""

import hashlib
import signal
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest

from serve.keys.guard import FACTS, is_open
from serve.settings import Settings
from serve.settings.kinds import Rate, Selection
from tests.serve.conftest import Serve
from tests.serve.support.server import running
from tests.support.images import solid
from tests.support.server_process import serving

APP, PHONE, ADMIN = "slipway_app", "slipway_phone", "the administrator's"
OPEN = (
    *("/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"),
    *("/", "/page/main.js", "/openapi.json", "/docs", "/docs/LICENSE.txt"),
)
CLOSED = (
    *("/metrics", "/v1/models", "/v1/memory", "/v2", "/v2/models/stats", "/nothing", FACTS),
    *("/health/", "/page", "/docsx", "/v1/models?key=slipway_app"),
)
INFER = "/v2/models/face_emotion_xception/infer"


def write_keys(path: Path, **keys: str) -> Path:
    lines = (f"{hashlib.sha256(key.encode()).hexdigest()} {name}\n" for name, key in keys.items())
    path.write_text("".join(lines))
    return path


@pytest.fixture(scope="module")
def keyed(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Return a client without a key of a server that asks for one."""
    path = write_keys(tmp_path_factory.mktemp("keys") / "keys", app=APP, phone=PHONE)
    with running(
        Settings(
            artifacts=artifacts,
            api_keys_file=path,
            admin_key=ADMIN,
            cors_origins=("https://app.example",),
        )
    ) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("path", OPEN)
def test_probes_and_documents_need_no_key(path: str, keyed: httpx.Client) -> None:
    assert keyed.get(path).status_code == 200


@pytest.mark.parametrize("path", CLOSED)
def test_all_else_needs_one(path: str, keyed: httpx.Client) -> None:
    for method in ("GET", "POST", "DELETE", "HEAD"):
        answer = keyed.request(method, path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="slipway"'
        assert method == "HEAD" or "X-API-Key: KEY" in answer.json()["error"]
    wrong = keyed.get(path, headers=bearer("wrong"))
    assert wrong.status_code == 401
    assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
    assert keyed.get(path, headers=bearer(APP)).status_code != 401


@pytest.mark.parametrize(
    "headers",
    [
        bearer(APP),
        {"X-API-Key": PHONE},
        {"Authorization": f"bearer  {APP}"},
        {"Authorization": "Basic eA==", "X-API-Key": APP},
        bearer(ADMIN),
    ],
)
def test_a_key_by_either_header(headers: dict[str, str], keyed: httpx.Client) -> None:
    answer = keyed.post("/v1/models/face_emotion_xception", content=solid(1, 2, 3), headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": APP},
        {"Authorization": f"Basic {APP}"},
        {"Authorization": "Bearer"},
        {"X-API-Key": ""},
        {"X-API-Key": APP.upper()},
        {"X-API-Key": hashlib.sha256(APP.encode()).hexdigest()},
        {"Cookie": f"key={APP}"},
    ],
)
def test_no_other_way(headers: dict[str, str], keyed: httpx.Client) -> None:
    assert keyed.get("/v1/models", headers=headers).status_code == 401


def test_an_api_key_is_no_key_of_the_administrator(keyed: httpx.Client) -> None:
    path = "/v2/repository/models/face_emotion_xception/load"
    assert keyed.post(path, headers=bearer(APP)).status_code == 403
    both = {"X-API-Key": APP, **bearer(ADMIN)}
    assert keyed.post(path, headers=both).status_code == 200


@pytest.mark.parametrize("path", ["/v1/face-emotion", INFER])
def test_a_request_is_refused_before_its_body(path: str, keyed: httpx.Client) -> None:
    address = keyed.base_url
    with socket.create_connection((address.host, address.port or 0), timeout=60) as raw:
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n"
        raw.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_browser_of_another_origin_sends_its_preflight_without_a_key(keyed: httpx.Client) -> None:
    origin = {"Origin": "https://app.example"}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key"}
    assert keyed.options("/v1/face-emotion", headers={**origin, **asked}).status_code == 200
    refused = keyed.get("/v1/models", headers=origin)
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example"


def test_a_job_belongs_to_the_owner_of_the_key(keyed: httpx.Client) -> None:
    headers = {"Prefer": "respond-async", "Idempotency-Key": "one"}
    path, image = "/v1/models/face_emotion_xception", solid(3, 2, 1)
    job, other = (
        keyed.post(path, content=image, headers={**headers, **bearer(key)}).headers["location"]
        for key in (APP, PHONE)
    )
    assert job != other  # nor is there one in the answer to another's Idempotency-Key
    again = keyed.post(path, content=image, headers={**headers, **bearer(APP)})
    assert again.headers["location"] == job
    assert keyed.get(job).status_code == 401
    for place in (job, f"{job}/result"):
        assert keyed.get(place, headers=bearer(PHONE)).status_code == 404
    assert keyed.delete(job, headers=bearer(PHONE)).status_code == 404
    for key in (APP, ADMIN):
        assert keyed.get(job, headers=bearer(key)).status_code == 200
    assert keyed.delete(job, headers=bearer(APP)).status_code == 204


def test_the_document_names_the_keys(keyed: httpx.Client, client: httpx.Client) -> None:
    document = keyed.get("/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert {"apiKey", "apiKeyHeader", "administrator"} == schemes.keys()
    either: list[dict[str, list[str]]] = [{"apiKey": []}, {"apiKeyHeader": []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if is_open(path):
                assert "security" not in operation
                assert "401" not in operation["responses"]
            else:
                assert operation["security"] in (either, [{"administrator": []}])
                assert "401" in operation["responses"]
    without = client.get("/openapi.json").json()["paths"]["/v1/gait"]["post"]
    assert "security" not in without
    assert "401" not in without["responses"]


def test_one_key_asks_too_often_and_the_others_do_not_notice(
    serve: Serve, artifacts: Path, tmp_path: Path
) -> None:
    client = serve(
        Settings(
            artifacts=artifacts,
            api_keys_file=write_keys(tmp_path / "keys", app=APP, phone=PHONE),
            admin_key=ADMIN,
            lazy=Selection(every=True),
            rate_limit=Rate(3, "h", burst=3),
        )
    )
    statuses = [client.get("/v1/models", headers=bearer(APP)).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    refused = client.get("/v1/models", headers=bearer(APP))
    assert 1100 <= int(refused.headers["retry-after"]) <= 1200
    assert "allowed: 3/h,3 (SLIPWAY_RATE_LIMIT)" in refused.json()["error"]
    assert client.get("/v1/models", headers=bearer(PHONE)).status_code == 200
    assert all(client.get("/health/live").status_code == 200 for _ in range(5))
    assert all(client.get("/v1/memory", headers=bearer(ADMIN)).is_success for _ in range(5))
    statuses = [client.get("/v1/models", headers=bearer("wrong")).status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]  # an address that guesses
    metrics = client.get("/metrics", headers=bearer(ADMIN)).text
    assert 'slipway_refusals_total{reason="rate"} 4' in metrics
    assert 'slipway_refusals_total{reason="key"} 3' in metrics


def test_an_address_asks_too_often_and_a_proxy_names_others(serve: Serve, artifacts: Path) -> None:
    client = serve(
        Settings(
            artifacts=artifacts,
            lazy=Selection(every=True),
            rate_limit=Rate(2, "h", burst=2),
            trusted_proxies=(ip_network("127.0.0.1"),),
        )
    )

    def statuses(address: str) -> list[int]:
        headers = {"X-Forwarded-For": address}
        return [client.get("/v1/models", headers=headers).status_code for _ in range(3)]

    assert statuses("192.0.2.1") == [200, 200, 429]
    assert statuses("192.0.2.2") == [200, 200, 429]
    assert statuses("2001:db8::1") == [200, 200, 429]
    assert statuses("2001:db8::ffff:1") == [429, 429, 429]


@pytest.mark.parametrize("path", ["/v1/models", "/nothing", "/health", "/page/facts", "/v2"])
def test_every_answer_tells_browsers_to_do_nothing_with_it(path: str, client: httpx.Client) -> None:
    headers = client.get(path).headers
    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert headers.get_list("referrer-policy") == ["no-referrer"]
    assert headers.get_list("cross-origin-resource-policy") == ["same-origin"]
    (policy,) = headers.get_list("content-security-policy")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_has_one_policy_of_its_own(path: str, client: httpx.Client) -> None:
    headers = client.get(path).headers
    (policy,) = headers.get_list("content-security-policy")
    assert "script-src 'self'" in policy
    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert headers.get_list("referrer-policy") == ["no-referrer"]


def test_a_refusal_of_the_connection_has_them_too(client: httpx.Client) -> None:
    address = client.base_url
    with socket.create_connection((address.host, address.port or 0), timeout=60) as raw:
        raw.sendall(b"NONSENSE\r\n\r\n")
        answer = raw.recv(4096).lower()
    assert b"x-content-type-options: nosniff" in answer
    assert answer.count(b"content-security-policy: default-src 'none'") == 1


def test_keys_are_read_again_at_sighup_by_every_worker(artifacts: Path, tmp_path: Path) -> None:
    path = write_keys(tmp_path / "keys", app=APP)
    with serving(
        *("--artifacts", str(artifacts), "--lazy", "all"),
        SLIPWAY_API_KEYS_FILE=str(path),
        WORKERS="2",
    ) as server:
        url = f"{server.url}/v1/models"
        assert httpx.get(url, headers=bearer(APP), timeout=60).status_code == 200
        write_keys(path, phone=PHONE)
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20

        def statuses(key: str) -> set[int]:
            return {httpx.get(url, headers=bearer(key), timeout=60).status_code for _ in range(6)}

        while statuses(PHONE) != {200} or statuses(APP) != {401}:
            assert time.monotonic() < deadline
        path.write_text("broken\n")
        server.process.send_signal(signal.SIGHUP)
        assert server.process.stderr is not None
        for line in server.process.stderr:
            if "the API keys are as they were" in line:
                break
        assert statuses(PHONE) == {200}
        # sums over the workers, each of which asks the other with the client's key
        assert (
            httpx.get(f"{server.url}/v1/memory", headers=bearer(PHONE), timeout=60).status_code
            == 200
        )
        headers = httpx.get(f"{server.url}/v1/memory", headers=bearer(PHONE), timeout=60).headers
        assert headers.get_list("x-content-type-options") == ["nosniff"]
