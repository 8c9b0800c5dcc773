"""Values of a client's request, as error messages repeat them."""

MAX_CHARACTERS = 200  # a client may have sent megabytes


def truncate(text: str) -> str:
    """Return the text, or its first 200 characters and three dots."""
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}..."


def repr_truncated(value: object) -> str:
    """Return the repr of a value, truncated."""
    # a long text is cut before its repr is made, which may be four times as long
    return truncate(repr(value[: MAX_CHARACTERS + 1] if isinstance(value, str) else value))


def json_type(value: object) -> str:
    """Return the JSON type of a value, with its article: "an object", "a number", "null"."""
    types = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else types.get(type(value), "a number")
