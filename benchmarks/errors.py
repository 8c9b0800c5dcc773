"""The error of a failed measurement."""

from runtime.errors import SlipwayError


class BenchmarkError(SlipwayError):
    """A process or file was not as a measurement needs it; the message says what happened."""
