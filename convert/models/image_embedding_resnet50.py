"""ResNet-50 image embedding: pooled features of the ImageNet classifier, for similarity.

Larger and slower than `image_embedding_mobilenetv2`, which replaced it; it remains to
compare with and to revert to. Loading and seeding: `convert.models.shared.torchvision_embedding`.

Source: torchvision `resnet50`, weights IMAGENET1K_V2, and that weight set's own preprocessing.
"""

import re

from convert.authoring import Layout, Recipe, Source, Tolerance, numbered
from convert.models.shared.torchvision_embedding import Network, TorchvisionEmbedding


def _build() -> Network:
    from convert.architectures.resnet import RESIDUAL_NORMS, ResNet50

    return ResNet50(class_count=None), RESIDUAL_NORMS


# of `Sequential(*children()[:-1])`; 2, 3 and 8 hold no tensors
CHILDREN = {"0": "conv1", "1": "bn1", **{str(i + 3): f"layer{i}" for i in range(1, 5)}}
EMBEDDING = TorchvisionEmbedding(
    name="resnet50",
    build=_build,
    classifier_keys="fc.*",
    layouts=(
        Layout("torchvision", ("conv1.weight", "layer1.0.conv1.weight"), dict),
        Layout("numbers", ("0.weight", "4.0.conv1.weight"), numbered(CHILDREN)),
    ),
    sha256_prefix="11ad3fa6",
    aliases=("resnet50", "tv_resnet50", "resnet_50"),
    # timm's variants by what stands before "resnet" or behind its depth, e.g. resnetaa50, resnet50d
    other_names=re.compile(
        r"modified_|resnet(aa|blur|rs|v2)|(se|sk|eca|gc|big_|wide_)_?resnet|resnext|resnest"
        r"|resnet50(c|d|s|t|_gn|_ibn|_clip)"
    ),
    resized_px=232,
    crop_px=224,
)

RECIPE = Recipe(
    task="image-feature-extraction",
    description="2048-d image embedding for similarity (ResNet-50 trained on ImageNet)",
    licence="BSD-3-Clause",
    load=EMBEDDING.load,
    seed=EMBEDDING.seed,
    options=("arch", "input_scale"),
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
