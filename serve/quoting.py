"""What a client sent, as error messages repeat it."""

LONGEST = 200  # characters; a client may have sent megabytes


def cut(text: str) -> str:
    """At most 200 characters, and dots where there were more."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def quoted(value: object) -> str:
    """The repr of a value, cut."""
    # a long text is cut first: its repr may be four times as long again
    return cut(repr(value[: LONGEST + 1] if isinstance(value, str) else value))
