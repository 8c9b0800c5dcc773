"""Image embeddings made from torchvision's ImageNet classifiers: loading and seeding.

The embedding is the pooled features before the classifier, with L2 norm 1. The classifier is not
needed: checkpoints with any head, or with none, convert, under any prefix and as
`Sequential(*children()[:-1])`. Networks of other arithmetic have the same keys (timm's resnetaa50
blurs before it shrinks): the recipe reads the name of the network where the file states it.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convert.authoring import (
    Assumption,
    Backbone,
    CenterCrop,
    CheckpointError,
    ImageInput,
    Layout,
    Loaded,
    Resize,
    TorchNetwork,
    UnitEmbedding,
    arch_names,
    find_backbone,
    image_settings,
    load_strictly,
    matches,
    parse_scale,
    read_checkpoint,
    sample_input,
    seed_torch,
    state_dict_in,
)
from convert.models.shared.torch_image_facts import DEFAULT_SCALE, scale_fact, with_timms_resizing

# a torch.nn.Module without its classifier, and patterns of the weights that seeding damps
Network = tuple[Any, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class TorchvisionEmbedding:
    """The facts of one classifier, and how it loads and is seeded."""

    name: str  # of the network in torchvision
    build: Callable[[], Network]
    classifier_keys: str  # pattern of the keys that an embedding does not need
    layouts: tuple[Layout, ...]  # of the keys of checkpoints
    sha256_prefix: str  # of the published file
    aliases: tuple[str, ...]  # timm's names of the same arithmetic
    other_names: re.Pattern[str]  # of networks with the same keys and other arithmetic
    resized_px: int  # shortest side of the photo before the crop
    crop_px: int  # side of the square that the network sees

    def load(
        self, path: Path, *, arch: str | None = None, input_scale: str | None = None
    ) -> Loaded:
        """Read a checkpoint: for `Recipe.load`.

        Raises:
            CheckpointError: not a state_dict, or one of another network.
        """
        checkpoint = read_checkpoint(path)
        settings = image_settings(checkpoint, path=path)
        scale = scale_fact(settings, path, stated=input_scale, sha256_prefix=self.sha256_prefix)
        facts = [self._find_arch(path, checkpoint, arch), scale]
        module, _ = self.build()
        state = state_dict_in(checkpoint, path=path)
        backbone = find_backbone(state, self.layouts)
        if backbone is not None:
            state, head = self._without_head(backbone, module)
            facts += [_head_fact(head)] if head else []
        is_timms = backbone is not None and backbone.layout.name == "timm"
        load_strictly(module, state, path=path, ignore=(self.classifier_keys,))
        loaded = replace(self._loaded_model(module, scale.value), assumptions=tuple(facts))
        return with_timms_resizing(loaded, settings, in_words=self._geometry(), is_timms=is_timms)

    def _geometry(self) -> str:
        """Return how photos become the network's size, in words."""
        return (
            f"scales their shorter side to {self.resized_px} px, bilinear, and cuts out "
            f"{self.crop_px} px"
        )

    def _without_head(self, backbone: Backbone, module: Any) -> tuple[dict[str, Any], list[str]]:
        """Return the tensors of the network, and the names of other layers beside it."""
        own = {key.partition(".")[0] for key in module.state_dict()}
        state = {k: v for k, v in backbone.state.items() if k.partition(".")[0] in own}
        others = {**backbone.state, **backbone.others}
        names = {key.rpartition(".")[0] or key for key in others if key not in state}
        return state, sorted(n for n in names if not matches(f"{n}.", (self.classifier_keys,)))

    def _find_arch(self, path: Path, checkpoint: object, stated: str | None) -> Assumption:
        """Return the name of the network as stated, as the file has it, or as assumed.

        Raises:
            CheckpointError: it is a network of the same keys that computes something else.
        """
        names = [stated] if stated is not None else list(arch_names(checkpoint, path=path))
        for name in names:
            plain = name.lower().rpartition("/")[2].partition(".")[0]
            if self.other_names.search(plain) or (stated and plain not in self.aliases):
                raise CheckpointError(
                    f"{path}: a network {name[:60]!r} by {'--arch' if stated else 'its settings'}; "
                    f"this model computes {self.name}. Write a recipe of your own "
                    "(convert/README.md)"
                )
            if plain in self.aliases:
                return Assumption(
                    "arch", plain, "option" if stated else "file", f"stated: the network is {plain}"
                )
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        if sha256.startswith(self.sha256_prefix):
            return Assumption("arch", self.name, "file", "torchvision's published weights")
        return Assumption(
            "arch",
            self.name,
            "default",
            f"the file does not name its network; assumed: {self.name}. Other networks have the "
            f"same keys (timm's resnetaa50 has resnet50's). State it: --arch {self.name}",
        )

    def seed(self) -> Loaded:
        """Make untrained weights: for `Recipe.seed`."""
        module, residual_norms = self.build()
        loaded = self._loaded_model(module)
        seed_torch(module, sample_input(loaded, media="scene"), residual_norms=residual_norms)
        return loaded

    def _loaded_model(self, module: Any, scale: str = DEFAULT_SCALE) -> Loaded:
        side = self.crop_px
        return Loaded(
            network=TorchNetwork(module, input_shape=(3, side, side)),
            input=ImageInput(side, side, 3, **parse_scale(scale).arguments(3)),
            head=UnitEmbedding(),
            preprocess=(
                Resize(shortest_side=self.resized_px, interpolation="pil_bilinear"),
                CenterCrop(side, side),
            ),
        )


def _head_fact(names: list[str]) -> Assumption:
    listed = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return Assumption(
        "head",
        listed[:200],
        "default",
        f"{listed[:200]}: taken as a head on the pooled features, which an embedding does not "
        "need. If the network runs these layers before, write a recipe of your own "
        "(convert/README.md)",
    )
