"""User and password of a registry: from the environment, or from Docker's config.json."""

import base64
import binascii
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.errors import ArtifactError

USER, PASSWORD = "SLIPWAY_REGISTRY_USER", "SLIPWAY_REGISTRY_PASSWORD"
CONFIG_BYTES = 1 << 20
_DOCKER_HUB = ("https://index.docker.io/v1/", "index.docker.io")


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password for a registry, or for the server of its tokens."""

    user: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """Return the value of `Authorization`."""
        pair = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


def find_credentials(registry: str, environ: Mapping[str, str]) -> Credentials | None:
    """Return the credentials for a registry: of the environment, else of Docker's config.json.

    Args:
        registry: as in the reference.
        environ: of the process: also DOCKER_CONFIG, the directory of config.json.

    Raises:
        ArtifactError: config.json cannot be read, or only one of the two variables is set.
    """
    user, password = environ.get(USER, ""), environ.get(PASSWORD, "")
    if bool(user) != bool(password):
        missing = PASSWORD if user else USER
        raise ArtifactError(f"{missing} is not set; allowed: {USER} and {PASSWORD}, or neither")
    if user:
        return Credentials(user, password)
    home = Path(environ.get("HOME") or "/")
    path = Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    try:
        with path.open("rb") as stream:
            content = json.loads(stream.read(CONFIG_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    return _of_config(content, registry, path)


def _of_config(content: Any, registry: str, path: Path) -> Credentials | None:
    auths = content.get("auths") if isinstance(content, dict) else None
    names = (registry, f"https://{registry}", *(_DOCKER_HUB if registry == "docker.io" else ()))
    for name in names:
        entry = auths.get(name) if isinstance(auths, dict) else None
        if not isinstance(entry, dict):
            continue
        if isinstance(entry.get("auth"), str):
            with suppress(binascii.Error, UnicodeDecodeError):
                user, colon, password = base64.b64decode(entry["auth"]).decode().partition(":")
                if colon:
                    return Credentials(user, password)
        if isinstance(entry.get("username"), str) and isinstance(entry.get("password"), str):
            return Credentials(entry["username"], entry["password"])
        raise ArtifactError(
            f"{path} has no password for {name}; allowed: `auth`, or {USER} and {PASSWORD} in the "
            "environment (credential helpers are not asked)"
        )
    return None
