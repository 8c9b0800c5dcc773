"""Image embeddings made from torchvision's ImageNet classifiers: loading and seeding.

The embedding is the pooled features before the classifier, with L2 norm 1. The classifier is not
needed: checkpoints with one of any size, or with none, convert.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.authoring import (
    CenterCrop,
    ImageInput,
    Loaded,
    Resize,
    TorchNetwork,
    UnitEmbedding,
    load_strictly,
    read_state_dict,
    sample_input,
    seed_torch,
)

# a torch.nn.Module without its classifier, and patterns of the weights that seeding damps
Network = tuple[Any, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class TorchvisionEmbedding:
    """The facts of one classifier, and how it loads and is seeded."""

    build: Callable[[], Network]
    classifier_keys: str  # pattern of the keys that an embedding does not need
    resized_px: int  # shortest side of the photo before the crop
    crop_px: int  # side of the square that the network sees
    mean: tuple[float, float, float]  # of RGB in [0, 1]
    std: tuple[float, float, float]

    def load(self, path: Path) -> Loaded:
        """Read a checkpoint: for `Recipe.load`.

        Raises:
            CheckpointError: not a state_dict, or one of another network.
        """
        module, _ = self.build()
        load_strictly(module, read_state_dict(path), path=path, ignore=(self.classifier_keys,))
        return self._loaded_model(module)

    def seed(self) -> Loaded:
        """Make untrained weights: for `Recipe.seed`."""
        module, residual_norms = self.build()
        loaded = self._loaded_model(module)
        seed_torch(module, sample_input(loaded, media="scene"), residual_norms=residual_norms)
        return loaded

    def _loaded_model(self, module: Any) -> Loaded:
        return Loaded(
            network=TorchNetwork(module, input_shape=(3, self.crop_px, self.crop_px)),
            input=ImageInput(self.crop_px, self.crop_px, 3, mean=self.mean, std=self.std),
            head=UnitEmbedding(),
            preprocess=(
                Resize(shortest_side=self.resized_px, interpolation="linear_antialias"),
                CenterCrop(self.crop_px, self.crop_px),
            ),
        )
