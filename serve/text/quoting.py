"""What a client sent, as error messages repeat it."""

LONGEST = 200  # characters; a client may have sent megabytes


def cut(text: str) -> str:
    """At most 200 characters, and dots where there were more."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def json_kind(value: object) -> str:
    """What a value of JSON is, in JSON's words."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")


def quoted(value: object) -> str:
    """The repr of a value, cut."""
    # a long text is cut first: its repr may be four times as long again
    return cut(repr(value[: LONGEST + 1] if isinstance(value, str) else value))
