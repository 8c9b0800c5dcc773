"""Numerics around a network: from decoded media to its input, from its output to an answer.

Each operation is written twice, side by side: `apply` is the plain numpy formula of the reference
(what upstream's own code does), `nodes` is the ONNX form that is packaged. The parity check
compares the two on every conversion. None of these nodes is ever quantized: their names begin with
PREFIX.
"""

from convert.export.numerics.alpha import StretchedAlpha
from convert.export.numerics.attach import attach
from convert.export.numerics.boxes import Boxes
from convert.export.numerics.embedding import UnitEmbedding
from convert.export.numerics.faces import Faces
from convert.export.numerics.fragment import PREFIX, Fragment, Head, Input
from convert.export.numerics.frames import FramesInput
from convert.export.numerics.image import ImageInput
from convert.export.numerics.probabilities import Probabilities
from convert.export.numerics.tokens import Tokens
from convert.export.numerics.waveform import WaveformInput

__all__ = [
    "PREFIX",
    "Boxes",
    "Faces",
    "Fragment",
    "FramesInput",
    "Head",
    "ImageInput",
    "Input",
    "Probabilities",
    "StretchedAlpha",
    "Tokens",
    "UnitEmbedding",
    "WaveformInput",
    "attach",
]
