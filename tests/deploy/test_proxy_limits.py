"""Compare the limits of the proxies' files with the server's, which they must let decide."""

import re

import pytest

from serve.http.body import STALL_LIMIT_S
from serve.http.limits import Limits
from serve.routes.endpoint import body_limit
from serve.settings import Settings
from tests.deploy.conftest import FILES

SETTINGS, LIMITS = Settings(), Limits()
UNITS = {"": 1, "k": 2**10, "m": 2**20, "s": 1}


def nginx(directive: str, place: int = 1) -> int:
    """Return the number of a directive of nginx.conf, in bytes or seconds."""
    (line,) = re.findall(rf"^\s+{directive} ([^;]*);", FILES["nginx"].read_text(), re.MULTILINE)
    return _number(line.split()[place - 1])


def haproxy(words: str) -> int:
    """Return the number that follows words in haproxy.cfg, in bytes or seconds."""
    (value,) = re.findall(rf"\b{words}\s+(\d+s?)\b", FILES["haproxy"].read_text())
    return _number(value)


def _number(text: str) -> int:
    match = re.fullmatch(r"(\d+)([kms]?)", text)
    assert match
    return int(match[1]) * UNITS[match[2]]


def test_numbers_are_read() -> None:
    assert nginx("large_client_header_buffers") == 4
    assert nginx("client_max_body_size") == 15 * 2**20
    assert haproxy("timeout connect") == 5


@pytest.mark.parametrize(
    "size", [nginx("client_max_body_size"), haproxy(r"req\.body_size gt")], ids=["nginx", "haproxy"]
)
def test_the_largest_body_passes(size: int) -> None:
    largest = body_limit("application/json", SETTINGS)
    assert largest <= size < 1.1 * largest


def test_heads_over_the_limit_reach_the_server() -> None:
    assert nginx("large_client_header_buffers") * nginx("large_client_header_buffers", 2) > (
        LIMITS.head_bytes
    )
    assert nginx("large_client_header_buffers", 2) >= LIMITS.head_bytes
    assert haproxy(r"tune\.bufsize") > LIMITS.head_bytes + 1024  # tune.maxrewrite
    assert haproxy(r"tune\.http\.maxhdr") > LIMITS.head_fields


def test_the_server_ends_a_stalled_body_first() -> None:
    assert SETTINGS.timeout_s < nginx("client_body_timeout") < 2 * SETTINGS.timeout_s
    assert SETTINGS.timeout_s < haproxy("timeout client") < 2 * SETTINGS.timeout_s
    assert nginx("proxy_send_timeout") > STALL_LIMIT_S


def test_timeouts_equal_the_settings() -> None:
    assert nginx("client_header_timeout") == haproxy("timeout http-request") == SETTINGS.timeout_s
    assert nginx("send_timeout") == SETTINGS.timeout_s
    assert haproxy("timeout http-keep-alive") == SETTINGS.keep_alive_s
    assert haproxy("timeout queue") == SETTINGS.queue_s
    client, upstream = re.findall(
        r"^\s+keepalive_timeout (\d+)s;", FILES["nginx"].read_text(), re.MULTILINE
    )[::-1]
    assert int(client) == SETTINGS.keep_alive_s > int(upstream)
    assert haproxy("pool-purge-delay") < SETTINGS.keep_alive_s


def test_the_slowest_answer_is_waited_for() -> None:
    longest = SETTINGS.queue_s + SETTINGS.timeout_s + SETTINGS.decode_timeout_s
    assert nginx("proxy_read_timeout") > longest
    assert haproxy("timeout server") > longest


def test_proxies_open_no_more_connections_than_the_server_has() -> None:
    total, to_server = re.findall(r"\bmaxconn (\d+)", FILES["haproxy"].read_text())
    assert int(to_server) <= int(total) < LIMITS.connections
