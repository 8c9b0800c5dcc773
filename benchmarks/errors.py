"""The error of a measurement that could not be made. Imports runtime's errors only."""

from runtime.errors import SlipwayError


class BenchmarkError(SlipwayError):
    """Something did not run as a measurement needs it to; the message says what was seen."""
