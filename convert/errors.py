"""Why a conversion stops. Each is one sentence for the person at the terminal, exit code 1."""

from runtime.errors import SlipwayError


class ConvertError(SlipwayError):
    """Base: the model was refused and nothing was packaged."""


class RecipeError(ConvertError):
    """A recipe file is missing, broken or contradicts itself."""


class CheckpointError(ConvertError):
    """A checkpoint is missing, damaged, of another architecture, or would have to run code."""


class LabelsError(ConvertError):
    """Class names are missing, given twice, or not those of the network."""


class CalibrationError(ConvertError):
    """The calibration media are too few or unreadable."""


class PairsError(ConvertError):
    """The judged pairs cannot be read, or no scale of similarity fits them."""


class VerificationError(ConvertError):
    """What was produced does not do what the reference does."""


class SourceError(CheckpointError):
    """A public source was not reached, or gave no file; what it gave was not wrong."""
