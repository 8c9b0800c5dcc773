"""Check that the server of this container is healthy: the image's HEALTHCHECK.

Usage: python3 -m deploy.healthcheck. The exit code is 0 if GET /health answers 200, else 1 with the
reason. Imports the standard library alone: it runs every 30 s next to the server.
"""

import os
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException

LOOPBACK = {
    "": "127.0.0.1",
    "0.0.0.0": "127.0.0.1",
    "::": "::1",
}  # address to ask if the server listens on all
TIMEOUT_S = (
    4.0  # less than that of the HEALTHCHECK, which would kill it before it prints the reason
)


def address(environ: Mapping[str, str]) -> tuple[str, int]:
    """Return host and port to ask, from the variables that the server reads."""
    host = environ.get("SLIPWAY_HOST", "")
    return LOOPBACK.get(host, host), int(environ.get("PORT") or "8000")


def failure(host: str, port: int) -> str | None:
    """Return why the server is not healthy, or None if it is."""
    # urllib would send the request to the proxy that the environment names
    connection = HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"http://{host}:{port}/health: {type(error).__name__}: {error}"
    finally:
        connection.close()
    return None if status == 200 else f"http://{host}:{port}/health: status {status}; 200 expected"


if __name__ == "__main__":
    sys.exit(failure(*address(os.environ)))
