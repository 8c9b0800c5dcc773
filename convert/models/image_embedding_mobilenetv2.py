"""MobileNetV2 image embedding: pooled features of the ImageNet classifier, for similarity.

Loading and seeding: `convert.models.shared.torchvision_embedding`.

Source: torchvision `mobilenet_v2`, weights IMAGENET1K_V1, and that weight set's own preprocessing.
"""

from convert.authoring import Recipe, Source, Tolerance
from convert.models.shared.torchvision_embedding import Network, TorchvisionEmbedding


def _build() -> Network:
    from convert.architectures.mobilenetv2 import RESIDUAL_NORMS, MobileNetV2

    return MobileNetV2(class_count=None), RESIDUAL_NORMS


EMBEDDING = TorchvisionEmbedding(
    build=_build,
    classifier_keys="classifier.*",
    resized_px=256,
    crop_px=224,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)

RECIPE = Recipe(
    task="image-feature-extraction",
    description="1280-d image embedding for similarity (MobileNetV2 trained on ImageNet)",
    licence="BSD-3-Clause",
    load=EMBEDDING.load,
    seed=EMBEDDING.seed,
    tolerance=Tolerance(
        at_least={"cosine_mean": 0.98, "cosine_p05": 0.96}, at_most={"pair_error": 0.015}
    ),
    media="scene",
    source=Source(
        "https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth",
        sha256_prefix="7ebf99e0",
        licence="BSD-3-Clause",
    ),
)
