"""What the recipes of U-2-Net's two sizes share: loading, seeding, and the numerics around them.

Source: xuebinqin/U-2-Net (network, `u2net_test.py` numerics: division by the image's own maximum,
mean and deviation, then stretching the fused map); the ONNX files that rembg distributes have seven
outputs, of which the first is that map.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from convert.checkpoint import load_strictly, read_state_dict, sniff
from convert.errors import CheckpointError
from convert.export.frameworks import Network
from convert.export.frameworks.onnx_graph import OnnxNetwork
from convert.export.frameworks.torch_module import TorchNetwork
from convert.export.numerics import ImageInput, StretchedAlpha
from convert.recipe import Loaded
from convert.weights.seeded import sample_input, seed_torch
from runtime.artifact.manifest import Resize

SIDE = 320  # px

Build = Callable[[], Any]  # gives a torch.nn.Module


def load(path: Path, build: Build) -> Loaded:
    """From upstream's state_dict, or rembg's ONNX form of the same net.

    Raises:
        CheckpointError: neither, or of another size or input.
    """
    if sniff(path) == "onnx":
        return _around(_from_onnx(path, build))
    module = build()
    load_strictly(module, read_state_dict(path), path=path)
    return _around(TorchNetwork(module, input_shape=(3, SIDE, SIDE)))


def seed(build: Build) -> Loaded:
    """Untrained weights."""
    module = build()
    loaded = _around(TorchNetwork(module, input_shape=(3, SIDE, SIDE)))
    seed_torch(module, sample_input(loaded, media="scene"))
    return loaded


def _from_onnx(path: Path, build: Build) -> Network:
    network = OnnxNetwork(path)
    if network.input_shape != (3, SIDE, SIDE):
        raise CheckpointError(f"{path}: takes {network.input_shape}; needed: (3, {SIDE}, {SIDE})")
    found, needed = _weight_count(network), _parameter_count(build)
    # both sizes have the same inputs and outputs; folding moves the count by less
    if not 0.9 < found / needed < 1.1:
        raise CheckpointError(
            f"{path}: {found / 1e6:.1f} million weights; this size of U-2-Net has "
            f"{needed / 1e6:.1f}. The models are background_u2netp (1.1) and background_u2net (44)"
        )
    return network


def _weight_count(network: Network) -> int:
    return sum(array.size for array in network.weights().values() if array.dtype.kind == "f")


def _parameter_count(build: Build) -> int:
    import torch

    with torch.device("meta"):  # shapes without memory
        return sum(parameter.numel() for parameter in build().parameters())


def _around(network: Network) -> Loaded:
    return Loaded(
        network=network,
        input=ImageInput(
            SIDE,
            SIDE,
            3,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            divisor="image_maximum",
        ),
        head=StretchedAlpha(),
        # not antialiased: closest to upstream's masks, IoU 0.992 against 0.979 to 0.981 for others
        preprocess=(Resize(height=SIDE, width=SIDE, interpolation="linear"),),
    )
