"""Embeddings of clinical conditions, computed by the reference of `clinical_text_minilm`.

A gait model takes such an embedding as its second input. The embeddings of the conditions that it
knows by name are packaged with it, so that serving needs no text model.
"""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert import recipe
from convert.gait.conditions import Condition, placed_conditions, read_conditions
from convert.samples.media import MODALITIES
from convert.weights import resolve as weights
from convert.weights.download import Store
from runtime.artifact.manifest import CONDITIONS

TEXT_MODEL = "clinical_text_minilm"


def find_encoder() -> Path:
    """Return the folder of the text model: placed, installed, or downloaded.

    Raises:
        CheckpointError: there is none, or the published one differs from the recorded hashes.
    """
    store = Store.from_environment(os.environ)
    text_weights = weights.find(recipe.find(TEXT_MODEL), "pretrained", None, fetch=store.fetch)
    assert text_weights.path is not None  # "pretrained" finds a path or raises
    return text_weights.path


def condition_assets() -> dict[str, bytes]:
    """Return `Loaded.assets` of a model that takes a condition: the embedded table.

    Raises:
        CheckpointError: there is no text model.
        RecipeError: the table of conditions is refused.
    """
    table = read_conditions(placed_conditions())
    return {CONDITIONS: conditions_file(table, find_encoder())}


def condition_sources() -> tuple[Path, ...]:
    """Return the files that `condition_assets` reads, for `Recipe.reads`.

    Raises:
        CheckpointError: there is no text model.
    """
    return placed_conditions(), find_encoder()


def embed(texts: Sequence[str], folder: Path) -> NDArray[np.float32]:
    """Embed texts in the reference framework.

    Args:
        texts: n texts.
        folder: the text model.

    Returns:
        (n, D) float32, each of L2 norm 1.

    Raises:
        CheckpointError: the folder does not load.
    """
    text_recipe = recipe.find(TEXT_MODEL).recipe
    loaded = text_recipe.load(folder)
    rows = []
    for text in texts:
        feeds = MODALITIES[text_recipe.media].to_feeds(text, loaded)
        inputs = loaded.input.apply(*(feeds[tensor.name] for tensor in loaded.input.tensors))
        outputs = loaded.network.forward(*inputs)
        rows.append(loaded.head.apply(*outputs)["embedding"])
    return np.concatenate(rows)


def conditions_file(conditions: Sequence[Condition], folder: Path) -> bytes:
    """Return the content of conditions.npz; artifacts/README.md has its format.

    Args:
        conditions: the table.
        folder: the text model.
    """
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        names=np.array([condition.name for condition in conditions]),
        synonyms=np.array([json.dumps(condition.synonyms) for condition in conditions]),
        embeddings=embed([condition.text for condition in conditions], folder),
    )
    return buffer.getvalue()
