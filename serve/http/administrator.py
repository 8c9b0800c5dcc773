"""Tell the administrator, who has the server's key, from other clients."""

import hmac

from serve.errors import ForbiddenError

SCHEME = "bearer "


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
    if not hmac.compare_digest(sent_key.encode("latin-1", "replace"), key.encode()):
        raise ForbiddenError(
            "the key is missing or wrong; allowed: the header Authorization: Bearer KEY, with the "
            "key of SLIPWAY_ADMIN_KEY"
        )
