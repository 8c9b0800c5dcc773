"""Refuse requests without a key, and those of clients that ask too often, before their body."""

import math
from collections.abc import Iterator

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.errors import REASON, error_response
from serve.http.budget import client_of
from serve.keys.rate import RateLimiter, network_of
from serve.keys.ring import ADMINISTRATOR, KeyRing
from serve.metrics.port import PATH as METRICS_PATH
from serve.settings import Settings
from serve.workers.siblings import EXTENSION

OWNER = "slipway.owner"  # in the scope of a request: the name of its key, or ADMINISTRATOR
# what probes, browsers and viewers ask for before they can have a key
OPEN_PATHS = frozenset(
    (
        *("/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"),
        *("/", "/docs", "/openapi.json"),
    )
)
OPEN_FOLDERS = ("/page/", "/docs/")
FACTS = "/page/facts"  # which models there are
HOW = "allowed: the header Authorization: Bearer KEY, or X-API-Key: KEY"
CHALLENGE = 'Bearer realm="slipway"'
API_KEY = "X-API-Key"
_API_KEY_FIELD = API_KEY.lower().encode()
BEARER = b"bearer "


class Guard:
    """ASGI middleware around the routes."""

    def __init__(self, app: ASGIApp, settings: Settings, keys: KeyRing) -> None:
        """Wrap an application.

        Args:
            app: the application.
            settings: that name the rate.
            keys: of the server.
        """
        self.app = app
        self._keys = keys
        self._limiter = RateLimiter(settings.rate_limit) if settings.rate_limit else None
        # the port of the metrics serves nothing else, and has rules of a network
        self._open_path = METRICS_PATH if settings.metrics_port else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or respond 401 or 429."""
        refusal = self._refuse(scope) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    def _refuse(self, scope: Scope) -> Response | None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path == self._open_path or is_open(path):
            return None
        client = network_of(client_of(scope))
        if not self._keys.is_required:
            return self._limit(scope, client)
        sent = list(keys_of(scope))
        owner = self._keys.owner_of(sent)
        if owner is None:
            return self._limit(scope, client) or _unauthorized(was_sent=bool(sent))
        scope[OWNER] = owner
        return None if owner == ADMINISTRATOR else self._limit(scope, f"key {owner}")

    def _limit(self, scope: Scope, client: str) -> Response | None:
        """Count a request, which another worker of this server has not counted yet."""
        if self._limiter is None or EXTENSION in scope.get("extensions", {}):
            return None
        wait_s = self._limiter.take(client)
        if not wait_s:
            return None
        scope[REASON] = "rate"
        return error_response(
            f"too many requests of one client; allowed: {self._limiter.rate} (SLIPWAY_RATE_LIMIT)",
            status=429,
            headers={"Retry-After": str(math.ceil(wait_s))},
        )


def is_open(path: str) -> bool:
    """Return whether a path, without the prefix of a proxy, is served without a key."""
    return path in OPEN_PATHS or (path.startswith(OPEN_FOLDERS) and path != FACTS)


def keys_of(scope: Scope) -> Iterator[bytes]:
    """Return the keys that a request has."""
    for name, value in scope["headers"]:
        if name == _API_KEY_FIELD:
            yield value.strip()
        elif name == b"authorization" and value[: len(BEARER)].lower() == BEARER:
            yield value[len(BEARER) :].strip()


def owner_of(scope: Scope) -> str | None:
    """Return the name of the key of a request; None on a server without keys."""
    return scope.get(OWNER)


def _unauthorized(*, was_sent: bool) -> Response:
    if was_sent:
        message, challenge = "the API key is unknown", f'{CHALLENGE}, error="invalid_token"'
    else:
        message, challenge = "the request has no API key", CHALLENGE
    headers = {"WWW-Authenticate": challenge}
    return error_response(f"{message}; {HOW}", status=401, headers=headers)
