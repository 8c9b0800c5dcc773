"""Tell the administrator, who has the server's key, from other clients."""

import hashlib
import hmac

from serve.errors import ForbiddenError

SCHEME = "bearer "
HASHED = "sha256:"  # begins a key of which the setting has the hash alone


def check_key(authorization: str, key: str, *, what: str) -> None:
    """Refuse a request without the key; the time that it takes does not tell how near one is.

    Args:
        authorization: the header of the request; "" if it has none.
        key: of the server; "" if it has none.
        what: an administrator alone may do, for the message.

    Raises:
        ForbiddenError: the key is missing or wrong, or the server has none.
    """
    if not key:
        raise ForbiddenError(
            f"{what} by an administrator, and this server has no key for one; set SLIPWAY_ADMIN_KEY"
        )
    is_bearer = authorization.lower().startswith(SCHEME)
    sent_key = authorization[len(SCHEME) :] if is_bearer else ""
    if not is_admin_key(sent_key.strip().encode("latin-1", "replace"), key):
        raise ForbiddenError(
            "the key is missing or wrong; allowed: the header Authorization: Bearer KEY, with the "
            "key of SLIPWAY_ADMIN_KEY"
        )


def is_admin_key(sent: bytes, key: str) -> bool:
    """Compare a key with that of the setting, in constant time.

    Args:
        sent: by a client.
        key: of the server, or sha256: and the hexadecimal digits of its hash.
    """
    if key.startswith(HASHED):
        digest = hashlib.sha256(sent).hexdigest()
        return hmac.compare_digest(digest, key[len(HASHED) :].lower())
    return hmac.compare_digest(sent, key.encode())
