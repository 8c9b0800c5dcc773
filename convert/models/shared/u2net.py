"""U-2-Net in its two sizes: loading, seeding, and the numerics around the network.

Source: xuebinqin/U-2-Net (the network, and the numerics of `u2net_test.py`: division by the
image's own maximum, mean and deviation, then stretching of the fused map). The ONNX files that
rembg distributes have seven outputs; the first is that map.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.authoring import (
    CheckpointError,
    ImageInput,
    Loaded,
    Network,
    OnnxNetwork,
    Resize,
    StretchedAlpha,
    TorchNetwork,
    detect_kind,
    load_strictly,
    read_state_dict,
    sample_input,
    seed_torch,
)

SIDE = 320  # px


@dataclass(frozen=True, slots=True)
class U2Net:
    """One size of the network, and how it loads and is seeded."""

    build: Callable[[], Any]  # returns a torch.nn.Module

    def load(self, path: Path) -> Loaded:
        """Read upstream's state_dict, or rembg's ONNX file of the same network.

        Raises:
            CheckpointError: neither, or a network of another size or input.
        """
        if detect_kind(path) == "onnx":
            return _loaded_model(self._from_onnx(path))
        module = self.build()
        load_strictly(module, read_state_dict(path), path=path)
        return _loaded_model(TorchNetwork(module, input_shape=(3, SIDE, SIDE)))

    def seed(self) -> Loaded:
        """Make untrained weights: for `Recipe.seed`."""
        module = self.build()
        loaded = _loaded_model(TorchNetwork(module, input_shape=(3, SIDE, SIDE)))
        seed_torch(module, sample_input(loaded, media="scene"))
        return loaded

    def _from_onnx(self, path: Path) -> Network:
        network = OnnxNetwork(path)
        if network.input_shape != (3, SIDE, SIDE):
            raise CheckpointError(
                f"{path}: takes {network.input_shape}; needed: (3, {SIDE}, {SIDE})"
            )
        in_file, expected = _weight_count(network), self._parameter_count()
        # both sizes have the same inputs and outputs; folding moves the count by less
        if not 0.9 < in_file / expected < 1.1:
            raise CheckpointError(
                f"{path}: {in_file / 1e6:.1f} million weights; this size of U-2-Net has "
                f"{expected / 1e6:.1f}. "
                "The models are background_u2netp (1.1) and background_u2net (44)"
            )
        self._check_convolutions(network, path)
        return network

    def _check_convolutions(self, network: Network, path: Path) -> None:
        """Compare the shapes of all convolutions: IS-Net has the size of U-2-Net, and no fusion.

        Raises:
            CheckpointError: it is another network, which needs other pixels.
        """
        import torch

        with torch.device("meta"):
            expected = Counter(
                tuple(value.shape) for value in self.build().parameters() if value.ndim == 4
            )
        shapes = Counter(array.shape for array in network.weights().values() if array.ndim == 4)
        missing, other = expected - shapes, shapes - expected
        if missing or other:
            name, differing = ("lacks", missing) if missing else ("also has", other)
            listed = ", ".join(map(str, sorted(differing)[:3]))
            raise CheckpointError(
                f"{path}: {name} convolutions of {listed}: no U-2-Net (IS-Net, which rembg calls "
                "isnet-general-use, resembles it). Write a recipe of your own (convert/README.md)"
            )

    def _parameter_count(self) -> int:
        import torch

        with torch.device("meta"):  # shapes without memory
            return sum(parameter.numel() for parameter in self.build().parameters())


def _weight_count(network: Network) -> int:
    return sum(array.size for array in network.weights().values() if array.dtype.kind == "f")


def _loaded_model(network: Network) -> Loaded:
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
