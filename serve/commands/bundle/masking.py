"""The settings without their secrets, and texts without them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any
from urllib.parse import unquote, urlsplit

from serve.keys.key_file import PREFIX
from serve.settings import Settings, SettingsError
from serve.settings.environment import unknown_variables
from serve.settings.table import TABLE, default_text

MASK = "***"
_LEAST = 4  # characters of a secret that is searched in texts; shorter ones are in any text
# in the log of a proxy, or of another library
_KNOWN = (
    (re.compile(r"(?<=://)[^/\s@]*:[^/\s@]*@"), f"{MASK}@"),  # password of a URL
    (re.compile(rf"\b{re.escape(PREFIX)}[\w-]{{43}}(?![\w-])"), MASK),  # no metric is so long
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+"), rf"\1 {MASK}"),
    (
        re.compile(r"(?i)\b(x-api-key|password|passwd|secret|token)(\"?\s*[:=]\s*\"?)[^\s\",;]+"),
        rf"\1\2{MASK}",
    ),
)
# variables of other programs and of the registry, which the environment of a server may have
_SECRET_NAME = re.compile(r"(?i)(?:password|passwd|secret|token|_key)$")
SECRETS = frozenset(TABLE[field.name].variable for field in fields(Settings) if not field.repr)


def settings_content(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return each setting that the environment has, masked if it is a secret, and what is wrong."""
    rows: dict[str, dict[str, Any]] = {}
    for name, setting in TABLE.items():
        text = environ.get(setting.variable, "")
        if not text:
            rows[setting.variable] = {"default": default_text(name)}
            continue
        try:
            setting.kind.read(setting.variable, text)
            allowed = True
        except SettingsError:
            allowed = False  # its message has the value
        value = MASK if setting.variable in SECRETS else text
        rows[setting.variable] = {"value": value, "allowed": allowed}
    return {"settings": rows, "unknown": unknown_variables(environ)}


def secrets_of(environ: Mapping[str, str]) -> list[str]:
    """Return the secrets of the environment, and the passwords in them, the longest first."""
    texts: set[str] = set()
    for variable, text in environ.items():
        if variable not in SECRETS and not _SECRET_NAME.search(variable):
            continue
        texts.add(text)
        try:
            password = urlsplit(text).password or ""
        except ValueError:
            password = ""
        texts |= {password, unquote(password)}
    return sorted((text for text in texts if len(text) >= _LEAST), key=len, reverse=True)


def mask(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these secrets, and without what looks like a credential."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    for pattern, replacement in _KNOWN:
        text = pattern.sub(replacement, text)
    return text
