"""Reasons that keep a search from learning."""

from convert.errors import ConvertError


class LearningError(ConvertError):
    """Nothing can be learned from a graph; the search goes on without."""
