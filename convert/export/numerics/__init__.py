"""Numerics around a network: decoded media to its input, its output to the task's answer.

They are part of the exported graph, so that no server has to repeat them. Each is a
small frozen dataclass that states one formula twice, in methods next to each other:

    apply()   the formula in numpy, as the reference implementation has it
    nodes()   the same formula as ONNX operators, which are packaged

Every conversion compares the two: the parity check runs the graph against `apply` around the
network in its own framework. Axes: N batch, C channels, H height, W width, T frames, S samples of a
waveform, L tokens, A anchors, K classes, D embedding. The name of every node and of every tensor
inside begins with PREFIX; the quantizer leaves these nodes in float.
"""

from convert.export.numerics.alpha import StretchedAlpha
from convert.export.numerics.attach import attach
from convert.export.numerics.blaze_faces import BlazeFaces
from convert.export.numerics.boxes import Boxes
from convert.export.numerics.cosine import CosineProbabilities
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
    "BlazeFaces",
    "Boxes",
    "CosineProbabilities",
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
