"""Texts embedded while converting, by the reference of `clinical_text_minilm`.

A gait model is told of its patient by such an embedding. Those of the conditions that it knows by
name travel with it, so that serving it needs no text model.
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
    """The folder that the text model is read from: placed, installed, or fetched.

    Raises:
        CheckpointError: there is none, or the published one is not what was recorded.
    """
    store = Store.from_environment(os.environ)
    found = weights.find(recipe.find(TEXT_MODEL), "pretrained", None, fetch=store.fetch)
    assert found.path is not None  # pretrained weights lie somewhere
    return found.path


def condition_assets() -> dict[str, bytes]:
    """What a model that takes a condition has as `Loaded.assets`: the conditions with a name.

    Raises:
        CheckpointError: there is no text model.
        RecipeError: the table of conditions is not one.
    """
    table = read_conditions(placed_conditions())
    return {CONDITIONS: conditions_file(table, find_encoder())}


def condition_sources() -> tuple[Path, ...]:
    """What those assets are made from, for `Recipe.reads`.

    Raises:
        CheckpointError: there is no text model.
    """
    return placed_conditions(), find_encoder()


def embed(texts: Sequence[str], folder: Path) -> NDArray[np.float32]:
    """Embeddings of texts by the reference framework.

    Args:
        texts: any.
        folder: of the text model.

    Returns:
        (n, D) float32, L2 norm 1.

    Raises:
        CheckpointError: the folder does not load.
    """
    asked = recipe.find(TEXT_MODEL).recipe
    loaded = asked.load(folder)
    rows = []
    for text in texts:
        feeds = MODALITIES[asked.media].to_feeds(text, loaded)
        given = loaded.input.apply(*(feeds[tensor.name] for tensor in loaded.input.tensors))
        rows.append(loaded.head.apply(*loaded.network.forward(*given))["embedding"])
    return np.concatenate(rows)


def conditions_file(conditions: Sequence[Condition], folder: Path) -> bytes:
    """conditions.npz of a version, see artifacts/README.md.

    Args:
        conditions: the table.
        folder: of the text model.
    """
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        names=np.array([condition.name for condition in conditions]),
        synonyms=np.array([json.dumps(condition.synonyms) for condition in conditions]),
        embeddings=embed([condition.text for condition in conditions], folder),
    )
    return buffer.getvalue()
