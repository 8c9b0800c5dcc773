"""U2NETP background removal: from upstream's state_dict, or rembg's ONNX file of the same net.

Source: xuebinqin/U-2-Net (network, `u2net_test.py` numerics: division by the image's own maximum,
mean and deviation, then stretching the fused map); rembg's `u2netp.onnx` has seven outputs of which
the first is that map.
"""

from pathlib import Path

from convert.checkpoint import load_strictly, read_state_dict, sniff
from convert.errors import CheckpointError
from convert.frameworks import Network
from convert.frameworks.onnx_graph import OnnxNetwork
from convert.frameworks.torch_module import TorchNetwork
from convert.numerics import ImageInput, StretchedAlpha
from convert.recipe import Loaded, Recipe, Source, Tolerance
from convert.seeded import sample_input, seed_torch
from runtime.manifest import Resize

SIDE = 320


def _load(path: Path) -> Loaded:
    return _around(_from_onnx(path) if sniff(path) == "onnx" else _from_state_dict(path))


def _from_onnx(path: Path) -> Network:
    network = OnnxNetwork(path)
    if network.input_shape != (3, SIDE, SIDE):
        raise CheckpointError(f"{path}: takes {network.input_shape}; needed: (3, {SIDE}, {SIDE})")
    return network


def _from_state_dict(path: Path) -> Network:
    from convert.architectures.u2net import u2netp

    module = u2netp()
    load_strictly(module, read_state_dict(path), path=path)
    return TorchNetwork(module, input_shape=(3, SIDE, SIDE))


def _seed() -> Loaded:
    from convert.architectures.u2net import u2netp

    module = u2netp()
    loaded = _around(TorchNetwork(module, input_shape=(3, SIDE, SIDE)))
    seed_torch(module, sample_input(loaded, media="scene"))
    return loaded


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


RECIPE = Recipe(
    task="image-segmentation",
    description="Foreground alpha of a photo (U-2-Net, small: 4.7 MB in float)",
    licence="Apache-2.0",
    load=_load,
    seed=_seed,
    tolerance=Tolerance(
        at_least={"iou_mean": 0.985, "iou_p05": 0.95},
        at_most={"mae": 0.006, "collapsed_fraction": 0.0},
    ),
    media="scene",
    source=Source(
        "https://github.com/danielgatis/rembg/releases/download/v0.0.0/u2netp.onnx",
        sha256=None,
        licence="Apache-2.0",
    ),
)
