"""The content of routing.json: the version that serves each model, and its candidate."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.artifact.schema import parse, to_json
from runtime.artifact.spec import MODEL_ID, load_json
from runtime.errors import ArtifactError

SCHEMA_VERSION = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Pin:
    """A version, and the digest that its manifest must have."""

    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version that answers a share of the requests."""

    version: int
    digest: str
    share: float  # in [0, 1]; 0: only requests that name the version

    @property
    def pin(self) -> Pin:
        """Return the version without its share."""
        return Pin(self.version, self.digest)


@dataclass(frozen=True, slots=True)
class Route:
    """The versions that serve one model."""

    default: Pin
    candidate: Candidate | None = None
    previous: Pin | None = None  # the default before this one, for a rollback


@dataclass(frozen=True, slots=True)
class Routing:
    """The routes by model id. A model without one is served by its newest version that loads."""

    models: Mapping[str, Route] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


def parse_routing(text: str, where: str) -> Routing:
    """Parse routing.json.

    Args:
        text: the JSON.
        where: the beginning of every message.

    Raises:
        ArtifactError: it is not JSON, of another schema, or a field is missing, unknown, of another
            type or out of its range; the message names the place.
    """
    data = load_json(text, where)
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise ArtifactError(
            f"{where}.schema_version is {version!r}; this server reads {SCHEMA_VERSION}"
        )
    routing = parse(Routing, data, where)
    for model_id, route in routing.models.items():
        _check_route(model_id, route, f"{where}.models.{model_id[:64]}")
    return routing


def routing_text(routing: Routing) -> str:
    """Return the text of routing.json, models in order of their names."""
    models = {name: _without_nulls(routing.models[name]) for name in sorted(routing.models)}
    content = {"schema_version": routing.schema_version, "models": models}
    return json.dumps(content, indent=1) + "\n"


def _without_nulls(route: Route) -> dict[str, Any]:
    return {name: value for name, value in to_json(route).items() if value is not None}


def _check_route(model_id: str, route: Route, where: str) -> None:
    if not MODEL_ID.fullmatch(model_id):
        raise ArtifactError(f"{where} is no model id; allowed: {MODEL_ID.pattern}")
    pins = {"default": route.default, "candidate": route.candidate, "previous": route.previous}
    for name, pin in pins.items():
        if pin is None:
            continue
        if pin.version < 1:
            raise ArtifactError(f"{where}.{name}.version is {pin.version}; allowed: 1 or more")
        if not _DIGEST.fullmatch(pin.digest):
            raise ArtifactError(
                f"{where}.{name}.digest is {pin.digest[:80]!r}; allowed: 64 hexadecimal digits"
            )
    if route.candidate is None:
        return
    check_share(route.candidate.share, f"{where}.candidate.share")
    if route.candidate.version == route.default.version:
        raise ArtifactError(f"{where}.candidate is version {route.default.version}, as the default")


def check_share(share: float, where: str) -> None:
    """Refuse a share of requests that is none.

    Raises:
        ArtifactError: it is not from 0 to 1.
    """
    if not (math.isfinite(share) and 0 <= share <= 1):
        raise ArtifactError(f"{where} is {share:g}; allowed: 0 to 1")
