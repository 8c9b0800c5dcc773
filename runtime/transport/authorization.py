"""Answers to a registry's challenge: Basic, or a token from the server that it names."""

import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from runtime.errors import ArtifactError
from runtime.transport.credentials import Credentials
from runtime.transport.exchange import BrokenError, error_text, exchange, read_whole
from runtime.transport.limits import Limits

TOKEN_BYTES = 1 << 16
_PARAMETER = re.compile(r'([A-Za-z_]+)="([^"]{0,2048})"')


def parse_challenge(header: str) -> tuple[str, Mapping[str, str]]:
    """Return scheme, in lower case, and parameters of `WWW-Authenticate`."""
    scheme, _, rest = header[:8192].strip().partition(" ")
    return scheme.lower(), dict(_PARAMETER.findall(rest))


def authorize(
    challenge: str,
    credentials: Credentials | None,
    scope: str,
    limits: Limits,
    *,
    plain_http: bool,
) -> str:
    """Return the `Authorization` that a challenge asks for.

    Args:
        challenge: the registry's `WWW-Authenticate`.
        credentials: for the registry; None: a token for everybody may do.
        scope: that is asked for where the challenge names none.
        limits: of the transfer.
        plain_http: allow a server of tokens without TLS.

    Raises:
        ArtifactError: there is no answer to it.
        BrokenError: the server of the tokens is not reached.
    """
    scheme, parameters = parse_challenge(challenge)
    if scheme == "basic":
        if credentials is None:
            raise ArtifactError("the registry asks for a user and a password, and none is set")
        return credentials.basic
    realm = parameters.get("realm", "")
    if scheme != "bearer" or not realm:
        raise ArtifactError(
            f"the registry asks for {challenge[:200]!r}; allowed: Basic, and Bearer with a realm"
        )
    asked = {"scope": parameters.get("scope", scope)}
    if "service" in parameters:
        asked["service"] = parameters["service"]
    parts = urlsplit(realm)
    query = urlencode([*parse_qsl(parts.query), *asked.items()])
    return _token(parts._replace(query=query).geturl(), credentials, limits, plain_http=plain_http)


def _token(url: str, credentials: Credentials | None, limits: Limits, *, plain_http: bool) -> str:
    headers = {"Authorization": credentials.basic} if credentials else {}
    with exchange("GET", url, headers, limits, plain_http=plain_http) as response:
        where = f"the server of tokens {urlsplit(url).netloc}"
        if response.status >= 500 or response.status == 429:
            raise BrokenError(f"{where} answers {error_text(response)}")
        if response.status != 200:
            raise ArtifactError(f"{where} refuses: {error_text(response)}")
        data = read_whole(response, TOKEN_BYTES, limits, f"the answer of {where}")
    try:
        content = json.loads(data)
        token = content.get("token") or content.get("access_token")
    except (ValueError, AttributeError):
        token = None
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ArtifactError(f"{where} sends no token")
    return f"Bearer {token}"
