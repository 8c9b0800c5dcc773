"""ResNet-50 image embedding: pooled features of the ImageNet classifier, for similarity.

Larger and slower than `image_embedding_mobilenetv2`, which replaced it; kept to compare with and
to revert to. The classifier is not needed: checkpoints with any, or with none, convert.

Source: torchvision `resnet50`, weights IMAGENET1K_V2, and that weight set's own preprocessing.
"""

from pathlib import Path

from convert.checkpoint import load_strictly, read_state_dict
from convert.export.frameworks.torch_module import TorchNetwork
from convert.export.numerics import ImageInput, UnitEmbedding
from convert.recipe import Loaded, Recipe, Tolerance
from convert.sources import Source
from convert.weights.seeded import sample_input, seed_torch
from runtime.artifact.manifest import CenterCrop, Resize

SIDE = 224


def _load(path: Path) -> Loaded:
    from convert.architectures.resnet import ResNet50

    module = ResNet50(class_count=None)
    load_strictly(module, read_state_dict(path), path=path, ignore=("fc.*",))
    return _around(module)


def _seed() -> Loaded:
    from convert.architectures.resnet import RESIDUAL_NORMS, ResNet50

    module = ResNet50(class_count=None)
    loaded = _around(module)
    seed_torch(module, sample_input(loaded, media="scene"), residual_norms=RESIDUAL_NORMS)
    return loaded


def _around(module: object) -> Loaded:
    return Loaded(
        network=TorchNetwork(module, input_shape=(3, SIDE, SIDE)),
        input=ImageInput(SIDE, SIDE, 3, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        head=UnitEmbedding(),
        preprocess=(
            Resize(shortest_side=232, interpolation="linear_antialias"),
            CenterCrop(SIDE, SIDE),
        ),
    )


RECIPE = Recipe(
    task="image-feature-extraction",
    description="2048-d image embedding for similarity (ResNet-50 trained on ImageNet)",
    licence="BSD-3-Clause",
    load=_load,
    seed=_seed,
    tolerance=Tolerance(
        at_least={"cosine_mean": 0.98, "cosine_p05": 0.96}, at_most={"pair_error": 0.015}
    ),
    media="scene",
    source=Source(
        "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
        sha256_prefix="11ad3fa6",
        licence="BSD-3-Clause",
    ),
)
