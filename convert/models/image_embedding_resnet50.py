"""ResNet-50 image embedding: pooled features of the ImageNet classifier, for similarity.

Larger and slower than `image_embedding_mobilenetv2`, which replaced it; it remains to
compare with and to revert to. Loading and seeding: `convert.models.shared.torchvision_embedding`.

Source: torchvision `resnet50`, weights IMAGENET1K_V2, and that weight set's own preprocessing.
"""

from convert.authoring import Recipe, Source, Tolerance
from convert.models.shared.torchvision_embedding import Network, TorchvisionEmbedding


def _build() -> Network:
    from convert.architectures.resnet import RESIDUAL_NORMS, ResNet50

    return ResNet50(class_count=None), RESIDUAL_NORMS


EMBEDDING = TorchvisionEmbedding(
    build=_build,
    classifier_keys="fc.*",
    resized_px=232,
    crop_px=224,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)

RECIPE = Recipe(
    task="image-feature-extraction",
    description="2048-d image embedding for similarity (ResNet-50 trained on ImageNet)",
    licence="BSD-3-Clause",
    load=EMBEDDING.load,
    seed=EMBEDDING.seed,
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
