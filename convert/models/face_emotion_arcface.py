"""Face embedding trained with ArcFace, and emotions if the checkpoint has class centers.

The checkpoint's keys tell which backbone it is: MobileFaceNet (foamliu's layout, or
InsightFace_Pytorch's) or insightface's IResNet of any depth. The embedding always has L2 norm 1. If
the checkpoint has a center per class, the scaled cosines with them give probabilities; if it has
none, the model answers with the embedding alone.

Each backbone gets RGB pixels normalised as upstream does: foamliu with ImageNet's mean and
deviation (`data_gen.py`), the others to [-1, 1]. The user should crop and align the face to
ArcFace's 112 x 112 template.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.authoring import (
    FER2013,
    CheckpointError,
    CosineProbabilities,
    Head,
    ImageInput,
    Loaded,
    Recipe,
    Resize,
    Source,
    Tolerance,
    TorchNetwork,
    UnitEmbedding,
    fer2013_labels,
    find_embedder,
    labels_in,
    load_strictly,
    matching_labels,
    read_checkpoint,
    sample_input,
    seed_torch,
    split_head,
    state_dict_in,
)

SIDE = 112  # px
SCALE = 64.0  # ArcFace's; used if the checkpoint states none
# rounding is spread over the whole embedding of an untrained network: a scale of 64 would multiply
# it to 1e-4, the limit of parity
SEEDED_SCALE = 16.0
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# patterns of the losses and metrics that training scripts keep in the backbone's dict
LOSS_KEYS = ("criterion*.*", "loss*.*", "*_loss*.*", "*_acc*.*")

State = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Backbone:
    """One of the networks that a checkpoint may hold."""

    marker_key: str  # a key that only this network has
    last_key: str  # of a vector as long as the embedding
    normalisation: tuple[tuple[float, ...], tuple[float, ...]]  # mean and deviation
    build: Callable[[int, State], Any]  # embedding size and state_dict to torch module


def _mobilefacenet(width: int, state: State) -> Any:
    from convert.architectures.mobilefacenet import MobileFaceNet

    del state
    return MobileFaceNet(width)


def _prelu_mobilefacenet(width: int, state: State) -> Any:
    from convert.architectures.mobilefacenet import PReluMobileFaceNet

    del state
    return PReluMobileFaceNet(width)


def _iresnet(width: int, state: State) -> Any:
    from convert.architectures.iresnet import IResNet, layers_of

    return IResNet(layers_of(state), width)


FOAMLIU = Backbone("gdconv.depthwise.weight", "bn.weight", IMAGENET, _mobilefacenet)
BACKBONES = (
    FOAMLIU,
    Backbone("conv_6_dw.conv.weight", "bn.weight", HALVES, _prelu_mobilefacenet),
    Backbone("layer4.0.prelu.weight", "features.weight", HALVES, _iresnet),
)
WIDTH = 128  # length of MobileFaceNet's embedding


def _load(path: Path) -> Loaded:
    checkpoint = read_checkpoint(path)
    marker_keys = [backbone.marker_key for backbone in BACKBONES]
    embedder = find_embedder(checkpoint, marker_keys, path=path)
    if embedder is None:
        # load_strictly says which keys are missing, and which network the checkpoint may be
        load_strictly(_mobilefacenet(WIDTH, {}), state_dict_in(checkpoint, path=path), path=path)
        raise CheckpointError(
            f"{path}: no face embedding network that is known here; for another network write a "
            "recipe of your own (convert/README.md)"
        )
    backbone = BACKBONES[marker_keys.index(embedder.marker_key)]
    last = embedder.state.get(backbone.last_key)
    width = WIDTH if last is None else max(1, last.numel())
    module = backbone.build(width, embedder.state)
    state, centers = split_head(embedder, tuple(module.state_dict()), width, path=path)
    load_strictly(module, state, path=path, ignore=LOSS_KEYS)
    if centers is None:
        return _loaded_model(module, backbone)
    count = len(centers.values)
    labels = matching_labels(labels_in(checkpoint, path=path), count, path=path, layer="head")
    head = CosineProbabilities(centers.values.numpy(), centers.scale or SCALE)
    return _loaded_model(module, backbone, head, labels or fer2013_labels(count))


def _seed() -> Loaded:
    from convert.architectures.mobilefacenet import RESIDUAL_NORMS

    module = _mobilefacenet(WIDTH, {})
    centers = np.random.default_rng(0).standard_normal((len(FER2013), WIDTH), dtype=np.float32)
    head = CosineProbabilities(centers, SEEDED_SCALE)
    loaded = _loaded_model(module, FOAMLIU, head, FER2013)
    seed_torch(module, sample_input(loaded, media="face"), residual_norms=RESIDUAL_NORMS)
    return loaded


def _loaded_model(
    module: Any, backbone: Backbone, head: Head | None = None, labels: tuple[str, ...] = ()
) -> Loaded:
    mean, std = backbone.normalisation
    return Loaded(
        network=TorchNetwork(module, input_shape=(3, SIDE, SIDE)),
        input=ImageInput(SIDE, SIDE, 3, mean=mean, std=std),
        head=head or UnitEmbedding(),
        preprocess=(Resize(height=SIDE, width=SIDE, interpolation="linear"),),
        labels=labels,
        task=None if head else "image-feature-extraction",
    )


RECIPE = Recipe(
    task="image-classification",
    description="Face embedding (ArcFace), and its emotion where the checkpoint has class centers",
    licence="Apache-2.0",
    load=_load,
    seed=_seed,
    tolerance=Tolerance(
        at_least={"cosine_mean": 0.99, "cosine_p05": 0.98, "top1_agreement": 0.98},
        at_most={"pair_error": 0.015, "probability_distance": 0.03},
    ),
    media="face",
    source=Source(
        "https://raw.githubusercontent.com/foamliu/MobileFaceNet/"
        "a6cc9032a659b615f477833e1a70b5e7931bcccc/weights/mobilefacenet.pt",
        sha256="90a00ba1d8b0b688af3deb731ed53dca582e6106805d1bc3cfdef55f570493f4",
        size_bytes=4_135_271,
        licence="Apache-2.0",
    ),
)
