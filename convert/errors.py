"""The errors that stop a conversion. The command line prints one sentence and exits with 1."""

from runtime.errors import SlipwayError


class ConvertError(SlipwayError):
    """Base: the model was refused and nothing was packaged."""


class RecipeError(ConvertError):
    """A recipe file is missing, broken or contradicts itself."""


class CheckpointError(ConvertError):
    """A checkpoint is missing, damaged, of another architecture, or would have to run code."""


class LabelsError(ConvertError):
    """Class names are missing, listed twice, or not those of the network."""


class CalibrationError(ConvertError):
    """The calibration media are too few or unreadable."""


class PairsError(ConvertError):
    """The labelled pairs cannot be read, or no similarity scale fits them."""


class VerificationError(ConvertError):
    """The exported or quantized graph does not compute what the reference does."""


class SourceError(CheckpointError):
    """A public source was not reached or sent no file; a wrong file is a CheckpointError."""
