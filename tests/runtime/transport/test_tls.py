"""A docker-registry with TLS, of an authority of our own, that asks for a password; and a proxy."""

import base64
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import ArtifactError, UnavailableError
from runtime.transport.credentials import PASSWORD, USER, Credentials, find_credentials
from runtime.transport.limits import Limits
from runtime.transport.proxy import find_proxy
from runtime.transport.reference import parse_reference
from runtime.transport.registry import Registry
from runtime.transport.transfer import pull, push, resolve
from tests.support.artifacts import CLASSIFIER, write_artifact
from tests.support.certificates import Authority, make_authority
from tests.support.registry import DockerRegistry, docker_registry
from tests.support.tunnel import Tunnel, tunnel_to

HOST, OTHER = "registry.example", "other.example"
ME = Credentials("me", "se:cret")
# bcrypt at its least cost, of ME
HTPASSWD = "me:$2b$04$3nr3aa4ic4oSG44X3y0K9OtQlMNiDyjIjo0QuSi3bxNthA2w8ZCMK\n"
ONCE = Limits(pauses_s=())


@dataclass(frozen=True, slots=True)
class Place:
    """A registry with TLS, and the authorities."""

    registry: DockerRegistry
    authority: Authority
    stranger: Authority

    def at(self, host: str = HOST, credentials: Credentials | None = ME) -> Registry:
        reference = parse_reference(f"oci://{host}:{self.registry.port}/zoo:one")
        return Registry(reference, ONCE, credentials)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("tls")
    authority = make_authority(folder, "authority")
    certificate, key = authority.issue(HOST)
    (folder / "htpasswd").write_text(HTPASSWD)
    tls = f", tls: {{certificate: {certificate}, key: {key}}}"
    auth = f"auth: {{htpasswd: {{realm: tests, path: {folder / 'htpasswd'}}}}}"
    with docker_registry(folder, tls=tls, auth=auth) as registry:
        yield Place(registry, authority, make_authority(folder, "stranger"))


@pytest.fixture(autouse=True)
def names_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the names of the tests be this machine, which is no loopback to the code."""
    look_up = socket.getaddrinfo

    def answer(host: Any, *arguments: Any, **options: Any) -> Any:
        return look_up("127.0.0.1" if host in (HOST, OTHER) else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def trusted(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("SSL_CERT_FILE", str(place.authority.certificate))
    return place


def test_versions_go_there_and_back_with_tls_and_a_password(trusted: Place, tmp_path: Path) -> None:
    directory = write_artifact(tmp_path / "artifacts", CLASSIFIER)
    reference = push(tmp_path / "artifacts", trusted.at(), lambda _: None)
    digest, items = resolve(trusted.at())
    assert digest == reference.digest
    pull(trusted.at(), digest, items, tmp_path / "out", lambda _: None)
    name = f"{directory.parent.name}/1/float.onnx"
    assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "artifacts" / name).read_bytes()


@pytest.mark.parametrize("credentials", [None, Credentials("me", "guess")])
def test_a_registry_with_a_password_lets_nobody_else_in(
    trusted: Place, credentials: Credentials | None
) -> None:
    with pytest.raises(ArtifactError, match=r"asks for a user|does not let 'me' in") as caught:
        resolve(trusted.at(credentials=credentials))
    assert "guess" not in str(caught.value)


def test_an_unknown_authority_is_refused_with_what_to_do(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = rf"the certificate of {HOST}:\d+ is refused: .*(issuer|self.signed).*"
    with pytest.raises(ArtifactError, match=begin + "those of the system; SSL_CERT_FILE names"):
        resolve(place.at())
    file = str(place.stranger.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", file)
    with pytest.raises(ArtifactError, match=rf"{begin}those of SSL_CERT_FILE={file}; "):
        resolve(place.at())
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    with pytest.raises(ArtifactError, match="SSL_CERT_FILE=/nowhere, which cannot be read"):
        resolve(place.at())


def test_a_certificate_of_another_name_is_refused(trusted: Place) -> None:
    with pytest.raises(
        ArtifactError, match=r"other.example:\d+ is refused: Hostname mismatch"
    ) as caught:
        resolve(trusted.at(OTHER))
    assert "authority" not in str(caught.value)


def test_a_registry_without_tls_is_refused(trusted: Place, tmp_path: Path) -> None:
    with docker_registry(tmp_path) as registry:
        reference = parse_reference(f"oci://{HOST}:{registry.port}/zoo")
        with pytest.raises(ArtifactError, match="does not speak TLS; allowed: https, or http"):
            resolve(Registry(reference, ONCE))


@pytest.mark.parametrize(("host", "port"), [("::1", 80), ("fd00::1", 443)])
def test_an_address_of_ipv6_needs_no_port(
    host: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(*arguments: Any, **_: Any) -> Any:
        asked.append(arguments[:2])
        raise OSError("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with pytest.raises(UnavailableError, match="no such host"):
        resolve(Registry(parse_reference(f"oci://[{host}]/zoo"), ONCE))
    assert asked == [(host, port)]


@pytest.fixture
def proxy(trusted: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tunnel]:
    with tunnel_to(trusted.registry.port) as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", f"http://proxy-user:pr%40xy@127.0.0.1:{tunnel.port}")
        yield tunnel


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def test_a_proxy_opens_the_tunnel_and_sees_no_password_of_the_registry(
    trusted: Place, proxy: Tunnel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.authorization = basic("proxy-user:pr@xy")
    write_artifact(tmp_path / "artifacts", CLASSIFIER)
    push(tmp_path / "artifacts", trusted.at(), lambda _: None)
    resolve(trusted.at())
    assert set(proxy.requests) == {(f"{HOST}:{trusted.registry.port}", proxy.authorization)}
    proxy.requests.clear()
    monkeypatch.setenv("NO_PROXY", "localhost,.example")
    resolve(trusted.at())
    assert proxy.requests == []


def test_a_proxy_that_refuses_is_named_without_its_password(trusted: Place, proxy: Tunnel) -> None:
    proxy.authorization = "another"
    where = rf"through the proxy 127\.0\.0\.1:{proxy.port}: Tunnel connection failed: 407"
    with pytest.raises(UnavailableError, match=where) as caught:
        resolve(trusted.at())
    assert "pr@xy" not in str(caught.value)
    assert "pr%40xy" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p"}, "p:80"),
        ({"HTTPS_PROXY": "p:3128", "https_proxy": "http://q:1"}, "q:1"),
        ({"https_proxy": "p:3128", "no_proxy": "other.example, registry.example"}, None),
        ({"https_proxy": "p:3128", "no_proxy": "*"}, None),
        ({"HTTPS_PROXY": "p:3128", "https_proxy": ""}, None),
        ({"HTTPS_PROXY": "p:3128", "NO_PROXY": "*", "no_proxy": ""}, "p:3128"),
        ({"https_proxy": "p:3128", "no_proxy": "example.org"}, "p:3128"),
        ({"http_proxy": "http://p"}, None),
    ],
)
def test_which_proxy_is_used(environ: dict[str, str], proxy: str | None) -> None:
    found = find_proxy(f"{HOST}:5000", environ)
    assert (found and str(found)) == proxy


@pytest.mark.parametrize("address", ["https://p", "socks5://p", "http://", "http://p:many"])
def test_a_proxy_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(ArtifactError, match="HTTPS_PROXY has another form"):
        find_proxy(HOST, {"HTTPS_PROXY": address})


def test_credentials_are_those_of_the_environment_or_of_docker(tmp_path: Path) -> None:
    auth = base64.b64encode(b"docker:config").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {f"{HOST}:5000": {"auth": auth}}}))
    docker = {"DOCKER_CONFIG": str(tmp_path)}
    assert find_credentials(f"{HOST}:5000", docker) == Credentials("docker", "config")
    assert find_credentials("another.example", docker) is None
    own = {USER: "me", PASSWORD: "se:cret"}
    found = find_credentials(f"{HOST}:5000", docker | own)
    assert found == ME
    assert "se:cret" not in repr(found)
