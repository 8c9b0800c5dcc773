"""Face embedding trained with ArcFace, and emotions where the checkpoint has class centres.

Two backbones, told apart by their keys: MobileFaceNet (foamliu's layout, or InsightFace_Pytorch's)
and insightface's IResNet of any depth. The embedding always has L2 norm 1. Where the checkpoint has
a centre per class, their scaled cosines give probabilities; where it has none, the model answers
the embedding alone.

Each backbone is fed as upstream feeds it, in RGB: foamliu normalises with ImageNet's mean and
deviation (`data_gen.py`), the others map levels to [-1, 1]. The face should be aligned to the
112 x 112 template of ArcFace by whoever crops it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.checkpoint import labels_in, load_strictly, read_checkpoint, state_dict_in
from convert.checkpoint.centres import Centres, find_embedder, take_centres
from convert.checkpoint.labels import FER2013
from convert.errors import CheckpointError
from convert.export.frameworks.torch_module import TorchNetwork
from convert.export.numerics import Head, ImageInput, UnitEmbedding
from convert.export.numerics.cosine import CosineProbabilities
from convert.recipe import Loaded, Recipe, Tolerance
from convert.sources import Source
from convert.weights.seeded import sample_input, seed_torch
from runtime.artifact.manifest import Resize

SIDE = 112  # px
SCALE = 64.0  # ArcFace's, where the checkpoint does not say
# an untrained network spreads rounding over its whole embedding; 64 would make 1e-4 of it
SEEDED_SCALE = 16.0
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# losses and metrics that training scripts keep in the backbone's dict
BESIDE = ("criterion*.*", "loss*.*", "*_loss*.*", "*_acc*.*")

State = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Backbone:
    """One of the networks that a checkpoint may hold."""

    anchor: str  # a key that only it has
    closing: str  # the vector as long as its embedding
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
WIDTH = 128  # of the default's embedding


def _load(path: Path) -> Loaded:
    loaded = read_checkpoint(path)
    embedder = find_embedder(loaded, [backbone.anchor for backbone in BACKBONES], path=path)
    if embedder is None:
        # none of the known ones: loading says what is missing, and what else it may be
        load_strictly(_mobilefacenet(WIDTH, {}), state_dict_in(loaded, path=path), path=path)
        raise CheckpointError(f"{path}: no face embedding network that is known here")
    backbone = next(each for each in BACKBONES if each.anchor == embedder.anchor)
    closing = embedder.state.get(backbone.closing)
    width = WIDTH if closing is None else max(1, closing.numel())
    module = backbone.build(width, embedder.state)
    state, centres = take_centres(embedder, tuple(module.state_dict()), width, path=path)
    load_strictly(module, state, path=path, ignore=BESIDE)
    if centres is None:
        return _around(module, backbone)
    labels = _labels(labels_in(loaded, path=path), len(centres.values), path)
    return _around(module, backbone, _head(centres), labels)


def _head(centres: Centres) -> Head:
    return CosineProbabilities(centres.values.numpy(), centres.scale or SCALE)


def _labels(found: tuple[str, ...], count: int, path: Path) -> tuple[str, ...]:
    if found and len(found) != count:
        raise CheckpointError(
            f"{path}: names {len(found)} classes ({', '.join(found)[:200]}); "
            f"it has {count} class centres"
        )
    return found or (FER2013 if count == len(FER2013) else ())


def _seed() -> Loaded:
    from convert.architectures.mobilefacenet import RESIDUAL_NORMS

    module = _mobilefacenet(WIDTH, {})
    centres = np.random.default_rng(0).standard_normal((len(FER2013), WIDTH), dtype=np.float32)
    loaded = _around(module, FOAMLIU, CosineProbabilities(centres, SEEDED_SCALE), FER2013)
    seed_torch(module, sample_input(loaded, media="face"), residual_norms=RESIDUAL_NORMS)
    return loaded


def _around(
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
    description="Face embedding (ArcFace), and its emotion where the checkpoint has class centres",
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
