"""Which weights a conversion uses: the file given, the file placed, or an untrained stand-in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convert.errors import CheckpointError
from convert.recipe import RecipeFile

WeightsMode = Literal["pretrained", "seeded", "auto"]
CHECKPOINTS = Path("checkpoints")


@dataclass(frozen=True, slots=True)
class Found:
    """Where the weights of one conversion come from."""

    origin: Literal["pretrained", "seeded"]
    path: Path | None  # None: seeded


def find(recipe_file: RecipeFile, mode: WeightsMode, checkpoint: Path | None) -> Found:
    """Resolve the weights, without reading them.

    Args:
        recipe_file: names the model, its source and whether it can be seeded.
        mode: "pretrained" wants a checkpoint, "seeded" none, "auto" one where there is one.
        checkpoint: given on the command line; then CHECKPOINTS/<model>.* is not looked at.

    Raises:
        CheckpointError: none found where one is needed, or several.
    """
    if mode == "seeded":
        if checkpoint is not None:
            raise CheckpointError(
                f"--checkpoint {checkpoint} and --weights seeded exclude each other"
            )
        return _seeded(recipe_file)
    path = checkpoint or _placed(recipe_file.id)
    if path is not None:
        return Found("pretrained", path)
    if mode == "auto" and recipe_file.recipe.seed is not None:
        return _seeded(recipe_file)
    source = recipe_file.recipe.source
    hint = f" Published at {source.address} ({source.licence})." if source else ""
    raise CheckpointError(
        f"{recipe_file.id}: no weights. Place them as {CHECKPOINTS}/{recipe_file.id}.pth "
        f"(.h5, .keras, .onnx: the kind is read from the content) or give --checkpoint PATH.{hint}"
    )


def _placed(model_id: str) -> Path | None:
    placed = sorted(CHECKPOINTS.glob(f"{model_id}.*"))
    if len(placed) > 1:
        names = ", ".join(str(path) for path in placed)
        raise CheckpointError(f"{model_id}: several checkpoints: {names}; give --checkpoint PATH")
    return placed[0] if placed else None


def _seeded(recipe_file: RecipeFile) -> Found:
    if recipe_file.recipe.seed is None:
        raise CheckpointError(
            f"{recipe_file.id}: the recipe has no seeded weights; give --checkpoint"
        )
    return Found("seeded", None)
