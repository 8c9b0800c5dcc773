"""The kinds of values that settings have: each reads a text, and says which texts are allowed."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from runtime.artifact.manifest import MODEL_ID, Task
from runtime.artifact.signature import key_text, parse_public_keys
from runtime.engine.providers import PROVIDERS
from runtime.errors import ArtifactError, InputError, SlipwayError
from runtime.tasks.soft_voting import parse_weights
from runtime.transport.reference import FORM, SCHEME, parse_reference
from serve.text.integers import parse_integer

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token of RFC 9110


TASKS: tuple[Task, ...] = get_args(Task)
UNITS_S = {"s": 1, "m": 60, "h": 3600}
_RATE = re.compile(r"([0-9]{1,6})/([smh])(?:,([0-9]{1,6}))?")
_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]{1,64}){1,8}")


class SettingsError(SlipwayError):
    """Settings are ill-formed; a line for each names it, its value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value.

    `parse` returns the value of a text, and None, or raises InputError, for one that is refused.
    """

    allowed: str  # which texts, for messages and serve/API.md
    metavar: str  # stands for a text in --help
    parse: Callable[[str], Any]
    format: Callable[[Any], str] = str  # the text of a value; "" for none

    def read(self, variable: str, text: str) -> Any:
        """Return the value of a text.

        Raises:
            SettingsError: the text is not allowed.
        """
        try:
            value = self.parse(text)
        except InputError as error:
            raise SettingsError(f"{variable}: {error}") from None
        if value is None:
            raise SettingsError(f"{variable} is {text!r}; allowed: {self.allowed}")
        return value


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests of a client: how many in a unit of time, and how many at once."""

    count: int
    unit: str  # s, m or h
    burst: int  # at once, after a pause

    @property
    def per_s(self) -> int:
        """Return the seconds of the unit."""
        return UNITS_S[self.unit]

    def __str__(self) -> str:
        """Return the text in the environment."""
        return f"{self.count}/{self.unit},{self.burst}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Some of the models."""

    ids: tuple[str, ...] = ()
    every: bool = False  # all models of the directory

    def __contains__(self, model_id: str) -> bool:
        return self.every or model_id in self.ids

    def __str__(self) -> str:
        """Return the text in the environment."""
        return "all" if self.every else ",".join(self.ids) or "none"


def _selection(text: str) -> Selection | None:
    if text in ("all", "1"):
        return Selection(every=True)
    if text in ("none", "0"):
        return Selection()
    ids = _words(text)
    return Selection(ids) if ids and all(map(MODEL_ID.fullmatch, ids)) else None


def integer(minimum: int, maximum: int) -> Kind:
    """Return the kind of the integers in a range."""
    allowed = f"an integer, {minimum} to {maximum}"
    return Kind(allowed, "N", lambda text: parse_integer(text, minimum, maximum))


def _origins(text: str) -> tuple[str, ...] | None:
    origins = _words(text)
    return origins if all(map(_is_origin, origins)) else None


def _is_origin(text: str) -> bool:
    if text == "*":
        return True
    parts = urlsplit(text)
    in_full = f"{parts.scheme}://{parts.netloc}"
    return parts.scheme in ("http", "https") and bool(parts.netloc) and text == in_full


def _header_names(text: str) -> tuple[str, ...] | None:
    names = _words(text)
    return names if all(map(_HEADER_NAME.fullmatch, names)) else None


def _providers(text: str) -> tuple[str, ...] | None:
    names = _words(text.lower())
    return names if names and all(name in PROVIDERS for name in names) else None


def _tasks(text: str) -> tuple[Task, ...] | None:
    if text in ("all", "none", "0"):
        return TASKS if text == "all" else ()
    names = _words(text)
    tasks = tuple(task for task in TASKS if task in names)
    return tasks if names and len(tasks) == len(set(names)) else None


def _redis_url(text: str) -> str | None:
    parts = urlsplit(text)
    is_address = parts.scheme in ("redis", "rediss") and bool(parts.hostname)
    return text if is_address or (parts.scheme == "unix" and parts.path) else None


def _public_keys(text: str) -> tuple[bytes, ...] | None:
    try:
        return parse_public_keys(text) or None
    except ArtifactError:
        return None


def _rate(text: str) -> Rate | None:
    match = _RATE.fullmatch(text)
    if match is None:
        return None
    count, burst = int(match[1]), int(match[3] or match[1])
    return Rate(count, match[2], burst) if count and burst else None


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _base_path(text: str) -> str | None:
    path = text.rstrip("/")
    return path if _BASE_PATH.fullmatch(path) else None


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...] | None:
    try:
        return tuple(map(ip_network, _words(text)))
    except ValueError:
        return None


PATH = Kind("a path", "DIR", Path)
FILE = Kind("a path", "FILE", Path, lambda path: str(path or ""))
PUBLIC_KEYS = Kind(
    "public keys of Ed25519 in base64, separated by commas",
    "KEY,...",
    _public_keys,
    lambda keys: ",".join(map(key_text, keys)),
)
RATE = Kind(
    "a number a second, minute or hour as 10/s, 600/m, 1000/h; after a comma how many at once",
    "RATE",
    _rate,
    lambda rate: str(rate or ""),
)
ARTIFACTS = Kind(
    f"a path, or {FORM}",
    "DIR",
    lambda text: parse_reference(text) if text.startswith(SCHEME) else Path(text),
)
ADDRESS = Kind("an address", "HOST", str)
BASE_PATH = Kind("a path as /emotion, of letters, digits and . _ ~ -", "PATH", _base_path)
NETWORKS = Kind(
    "addresses or networks, separated by commas",
    "NETWORK,...",
    _networks,
    lambda networks: ", ".join(map(str, networks)),
)
SECRET = Kind("a text", "KEY", str)
REDIS_URL = Kind(
    "redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER], rediss:// with TLS, or unix://PATH",
    "URL",
    _redis_url,
)
TASK_NAMES = Kind(
    f"all, none, or tasks, separated by commas: {', '.join(TASKS)}", "TASK,...", _tasks, ",".join
)
LOG = Kind("text, json or off", "FORM", {"text": "text", "json": "json", "off": "off"}.get)
FLAG = Kind("0 or 1", "0|1", {"0": False, "1": True}.get, lambda value: str(int(value)))
SWITCH = Kind(  # of earlier deployments
    "0 or 1, false or true",
    "0|1",
    lambda text: {"0": False, "false": False, "1": True, "true": True}.get(text.lower()),
    lambda value: str(int(value)),
)
MODEL = Kind(
    f"a model id, {MODEL_ID.pattern}",
    "ID",
    lambda text: text if MODEL_ID.fullmatch(text) else None,
)
MODELS = Kind("all, none, or model ids, separated by commas", "ID,...", _selection)
WEIGHTS = Kind(
    "model:weight, separated by commas",
    "ID:WEIGHT,...",
    parse_weights,
    lambda weights: ",".join(f"{model}:{weight:g}" for model, weight in weights),
)
ORIGINS = Kind("* or scheme://host[:port], separated by commas", "URL,...", _origins, ", ".join)
PROVIDER_NAMES = Kind(
    f"{', '.join(PROVIDERS)}, separated by commas", "NAME,...", _providers, ",".join
)
HEADER_NAMES = Kind(
    "names of headers, or *, separated by commas", "NAME,...", _header_names, ", ".join
)
