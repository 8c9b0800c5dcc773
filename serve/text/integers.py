"""Parse integers of headers, query parameters and environment variables."""

MAX_DIGITS = 18  # int() refuses thousands of digits with an exception of its own


def parse_integer(text: str, minimum: int, maximum: int) -> int | None:
    """Return the integer, or None if the text is not ASCII digits alone or out of range.

    int() alone would also accept "1_000", " 5 " and the digits of other scripts.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
        return None
    return int(text) if minimum <= int(text) <= maximum else None
