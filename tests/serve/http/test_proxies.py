import asyncio
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from serve.http.proxies import TrustedProxies
from serve.settings import Settings, SettingsError, from_environment
from tests.serve.conftest import Serve

TRUSTED = tuple(map(ip_network, ("10.0.0.0/8", "127.0.0.1", "fd00::/8")))
PROXY, CLIENT = "10.0.0.1", "203.0.113.9"


def scope_of(
    headers: Mapping[str, str], *, peer: str = PROXY, with_prefix: bool = True
) -> dict[str, Any]:
    """Return the scope that the application gets."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)

    async def nothing(*_: object) -> Message:
        return {}

    scope: Scope = {
        "type": "http",
        "scheme": "http",
        "path": "/v1/models",
        "client": (peer, 1234),
        "headers": [
            (f"x-forwarded-{name}".encode(), value.encode()) for name, value in headers.items()
        ],
    }
    layer = TrustedProxies(app, TRUSTED, with_prefix=with_prefix)
    asyncio.run(layer(scope, nothing, nothing))  # type: ignore[arg-type]  # it sends nothing
    return dict(scopes[0])


FORWARDED = {"for": CLIENT, "proto": "https", "prefix": "/emotion/"}


def test_a_trusted_proxy_names_client_scheme_and_prefix() -> None:
    scope = scope_of(FORWARDED)
    assert scope["client"] == (CLIENT, 0)
    assert scope["scheme"] == "https"
    assert (scope["root_path"], scope["path"]) == ("/emotion", "/emotion/v1/models")
    assert "root_path" not in scope_of(FORWARDED, with_prefix=False)


@pytest.mark.parametrize("peer", ["203.0.113.1", "fe80::1", "", "nonsense", "::ffff:203.0.113.1"])
def test_no_other_client_is_believed(peer: str) -> None:
    scope = scope_of(FORWARDED, peer=peer)
    assert scope["client"] == (peer, 1234)
    assert (scope["scheme"], scope["path"]) == ("http", "/v1/models")
    assert "root_path" not in scope


@pytest.mark.parametrize("peer", ["127.0.0.1", "::ffff:127.0.0.1", "fd00::7"])
def test_addresses_of_both_kinds_are_trusted(peer: str) -> None:
    assert scope_of(FORWARDED, peer=peer)["client"] == (CLIENT, 0)


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (f"1.1.1.1, {CLIENT}", CLIENT),  # the first was sent by the client
        (f"1.1.1.1, {CLIENT}, 10.0.0.2 , 127.0.0.1", CLIENT),
        ("2001:db8::0:1", "2001:db8::1"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("secret, 10.0.0.2", "10.0.0.2"),
        ("secret", PROXY),
        (f"{CLIENT}:80", PROXY),
        ("", PROXY),
        ("1.1.1.1," * 1000 + CLIENT, PROXY),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxy(forwarded: str, client: str) -> None:
    assert scope_of({"for": forwarded})["client"][0] == client


@pytest.mark.parametrize("prefix", ["", "/", "emotion", "/a//b", "/a?b", "/a b", "/" + "a" * 65])
def test_another_prefix_or_scheme_is_ignored(prefix: str) -> None:
    scope = scope_of({"prefix": prefix, "proto": "javascript"})
    assert (scope["scheme"], scope["path"]) == ("http", "/v1/models")


def test_all_routes_are_under_the_base_path_and_probes_without_it(
    artifacts: Path, serve: Serve
) -> None:
    client = serve(Settings(artifacts=artifacts, base_path="/a/b"))
    for path in ("/health", "/v2/health/live", "/v2/health/ready"):
        assert client.get(path).status_code == 200
        assert client.get(f"/a/b{path}").status_code == 200
    assert client.get("/a/b/v2").status_code == 200
    assert client.get("/a/b/v1/models").status_code == 200
    for path in ("/v2", "/v1/models", "/a/bv2", "/a/b", "/a", "/"):
        answer = client.get(path)
        assert answer.status_code == 404
        message = f"no route {path}; all routes begin with /a/b/ (SLIPWAY_BASE_PATH)"
        assert answer.json() == {"error": message}
    assert "no route /a/b/a/b/v2; known: " in client.get("/a/b/a/b/v2").json()["error"]
    answer = client.put("/a/b/v1/face-emotion")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_prefix_that_the_proxy_cuts_off(artifacts: Path, serve: Serve) -> None:
    client = serve(Settings(artifacts=artifacts, trusted_proxies=(ip_network("127.0.0.1"),)))
    headers = {"X-Forwarded-Prefix": "/v1"}
    assert client.get("/v1/models", headers=headers).status_code == 200
    assert "no route /v1/x" in client.get("/x", headers=headers).json()["error"]


def test_settings() -> None:
    environ = {"SLIPWAY_BASE_PATH": "/a/b/", "SLIPWAY_TRUSTED_PROXIES": "10.0.0.0/8, ::1"}
    settings = from_environment(environ)
    assert settings.base_path == "/a/b"
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    for name, text in (
        ("SLIPWAY_BASE_PATH", "emotion"),
        ("SLIPWAY_BASE_PATH", "/a//b"),
        ("SLIPWAY_BASE_PATH", "/"),
        ("SLIPWAY_TRUSTED_PROXIES", "proxy.example"),
        ("SLIPWAY_TRUSTED_PROXIES", "10.0.0.1/8"),
    ):
        with pytest.raises(SettingsError, match=name):
            from_environment({name: text})
