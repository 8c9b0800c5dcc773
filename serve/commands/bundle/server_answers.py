"""The answers of a running server about itself."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator

# none of them has a client's text: labels of metrics come from closed lists
PATHS = {
    "health.json": "/health",
    "ready.json": "/v2/health/ready",
    "memory.json": "/v1/memory",
    "routing.json": "/v1/routing",
    "metrics.txt": "/metrics",
}
TIMEOUT_S = 5.0
MOST_BYTES = 16 * 2**20  # of an answer


def ask(url: str, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name and text of each answer; of one that is refused, why.

    Args:
        url: of the server, with its base path.
        key: an API key of the server; "" for none.
    """
    for name, path in PATHS.items():
        yield f"server/{name}", _answer(url.rstrip("/") + path, key)


def _answer(address: str, key: str) -> str:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        request = urllib.request.Request(address, headers=headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            data: bytes = answer.read(MOST_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            return f"status {error.code}\n{error.read(MOST_BYTES).decode('utf-8', 'replace')}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"no answer: {getattr(error, 'reason', error)}"
    return data.decode("utf-8", "replace")
