"""Which weights a conversion uses: the file given, the file placed, or an untrained stand-in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convert.errors import CheckpointError, LabelsError
from convert.labels import ENDINGS
from convert.recipe import RecipeFile

WeightsMode = Literal["pretrained", "seeded", "auto"]
CHECKPOINTS = Path("checkpoints")
LABELS = tuple(f".labels{ending}" for ending in ENDINGS)


@dataclass(frozen=True, slots=True)
class Found:
    """Where the weights of one conversion come from."""

    origin: Literal["pretrained", "seeded"]
    path: Path | None  # a file, or a directory as Hugging Face has them; None: seeded
    labels: Path | None = None  # class names of the user's; None: the checkpoint's or the recipe's


def find(
    recipe_file: RecipeFile,
    mode: WeightsMode,
    checkpoint: Path | None,
    labels: Path | None = None,
) -> Found:
    """Resolve the weights, without reading them.

    Args:
        recipe_file: names the model, its source and whether it can be seeded.
        mode: "pretrained" wants a checkpoint, "seeded" none, "auto" one where there is one.
        checkpoint: given on the command line; then CHECKPOINTS/<model>.* and the directory
            CHECKPOINTS/<model> are not looked at.
        labels: given on the command line; else <checkpoint's stem>.labels.txt or .labels.json
            beside the checkpoint counts. Untrained weights have labels of their own.

    Raises:
        CheckpointError: none found where one is needed, or several.
        LabelsError: two labels files beside the checkpoint.
    """
    if mode == "seeded":
        if checkpoint is not None:
            raise CheckpointError(
                f"--checkpoint {checkpoint} and --weights seeded exclude each other"
            )
        return _seeded(recipe_file, labels)
    path = checkpoint or _placed(recipe_file.id)
    if path is not None:
        return Found("pretrained", path, labels or _labels_beside(path))
    if mode == "auto" and recipe_file.recipe.seed is not None:
        return _seeded(recipe_file, labels)
    source = recipe_file.recipe.source
    hint = f" Published at {source.address} ({source.licence})." if source else ""
    raise CheckpointError(
        f"{recipe_file.id}: no weights. Place them as {CHECKPOINTS}/{recipe_file.id}.pth "
        f"(.h5, .keras, .onnx: the kind is read from the content) or give --checkpoint PATH.{hint}"
    )


def _placed(model_id: str) -> Path | None:
    placed = [
        path for path in sorted(CHECKPOINTS.glob(f"{model_id}.*")) if not path.name.endswith(LABELS)
    ]
    directory = CHECKPOINTS / model_id
    if directory.is_dir():
        placed.append(directory)
    if len(placed) > 1:
        names = ", ".join(str(path) for path in placed)
        raise CheckpointError(f"{model_id}: several checkpoints: {names}; give --checkpoint PATH")
    return placed[0] if placed else None


def _labels_beside(checkpoint: Path) -> Path | None:
    stem = checkpoint.name if checkpoint.is_dir() else checkpoint.stem
    beside = [checkpoint.with_name(stem + ending) for ending in LABELS]
    found = [path for path in beside if path.is_file()]
    if len(found) > 1:
        names = " and ".join(str(path) for path in found)
        raise LabelsError(f"{names}: two labels files; keep one, or give --labels FILE")
    return found[0] if found else None


def _seeded(recipe_file: RecipeFile, labels: Path | None) -> Found:
    if recipe_file.recipe.seed is None:
        raise CheckpointError(
            f"{recipe_file.id}: the recipe has no seeded weights; give --checkpoint"
        )
    return Found("seeded", None, labels)
