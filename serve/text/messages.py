"""Values of a client's request, as error messages repeat them."""

from itertools import islice
from reprlib import Repr

MAX_CHARACTERS = 200  # a client may have sent megabytes

_SHORT = Repr()
_SHORT.maxlist = _SHORT.maxdict = MAX_CHARACTERS
_SHORT.maxstring = 10 * MAX_CHARACTERS  # it leaves out the middle of a longer one


def truncate(text: str) -> str:
    """Return the text, or its first 200 characters and three dots."""
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}..."


def repr_truncated(value: object) -> str:
    """Return the repr of a JSON value, truncated; no long one is made."""
    if isinstance(value, dict):  # Repr would sort all of it
        value = dict(islice(value.items(), MAX_CHARACTERS))
    return truncate(_SHORT.repr(value))


def json_type(value: object) -> str:
    """Return the JSON type of a value, with its article: "an object", "a number", "null"."""
    types = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else types.get(type(value), "a number")
