"""Ask the server in this container whether it is healthy; the image's HEALTHCHECK.

Usage: python3 -m deploy.healthcheck. Exit code 0 where GET /health answers 200, else 1 with the
reason. Imports the standard library only: it runs every 30 s beside the server.
"""

import os
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException

LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # where a wildcard is reached
TIMEOUT_S = 4.0  # below the timeout of the HEALTHCHECK, so that the reason is still printed


def address(environ: Mapping[str, str]) -> tuple[str, int]:
    """Host and port to ask, from the variables that the server listens by."""
    host = environ.get("SLIPWAY_HOST", "")
    return LOOPBACK.get(host, host), int(environ.get("PORT") or "8000")


def failure(host: str, port: int) -> str | None:
    """Why the server is not healthy; None when it is.

    http.client rather than urllib, which would ask a proxy named in the environment.
    """
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
