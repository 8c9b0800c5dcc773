"""A scale of similarity for one model: labelled pairs through its graph, as it serves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from convert.errors import PairsError
from convert.pipeline.similarity.labelled_pairs import KINDS, Pairs
from convert.pipeline.similarity.score_scale import Cosines, fit_scale, measure_scale
from convert.recipe import Loaded, Recipe
from convert.samples.media import MODALITIES
from runtime.artifact.manifest import SimilarityScale, Variant
from runtime.engine.session import Feeds, Session, SessionOptions
from runtime.errors import InputError

TASK = "image-feature-extraction"


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Labelled pairs, and their images as a graph takes them."""

    pairs: Pairs
    samples: Mapping[Path, Feeds]  # by image, batch axis 1


def read_labelled_images(
    pairs: Pairs | None, recipe: Recipe, loaded: Loaded
) -> LabelledImages | None:
    """Decode and preprocess the images of labelled pairs as the server does; None without pairs.

    Raises:
        PairsError: the model is of another task, or an image cannot be decoded.
    """
    if pairs is None:
        return None
    task = loaded.task or recipe.task
    if task != TASK:
        raise PairsError(f"{pairs.source}: pairs are for {TASK}; this checkpoint is for {task}")
    modality = MODALITIES[recipe.media]
    images = {image for pair in pairs.pairs for image in (pair.image_a, pair.image_b)}
    samples = {}
    for image in sorted(images):
        try:
            samples[image] = modality.to_feeds(modality.read(image.read_bytes()), loaded)
        except InputError as error:
            raise PairsError(f"{image}: {error}") from error
    return LabelledImages(pairs, samples)


def fit(labelled: LabelledImages | None, graph: Path) -> SimilarityScale | None:
    """Fit the scale to the pairs' cosines through a graph; None without labelled pairs.

    Raises:
        PairsError: too few pairs, or they contradict each other.
    """
    if labelled is None:
        return None
    return fit_scale(_cosines(labelled, graph), labelled.pairs)


def measure_variants(
    variants: Sequence[Variant], labelled: LabelledImages, scale: SimilarityScale, folder: Path
) -> tuple[Variant, ...]:
    """Return the variants with the scores that the scale gives the pairs through each file.

    Args:
        variants: of the version in `folder`.
        labelled: the pairs that the scale was fitted to.
        scale: of the version.
        folder: holds the variants' files.
    """
    return tuple(
        replace(
            variant,
            verification={
                **variant.verification,
                "similarity": measure_scale(
                    _cosines(labelled, folder / variant.files[0].name), scale
                ),
            },
        )
        for variant in variants
    )


def summary(variant: Variant) -> str:
    """Return one line on the scores of the pairs, by kind, through one measured variant."""
    measured = variant.verification["similarity"]
    kinds = (
        f"{kind} {_format_scores(measured[kind])}" for kind in KINDS if measured[kind]["pairs"]
    )
    return f"similarity of the pairs: {'; '.join(kinds)}"


def _format_scores(scores: Mapping[str, float]) -> str:
    low, high = scores["score_min"], scores["score_max"]
    share = f"{scores['within']:.0%} of {scores['pairs']} as they should be"
    return f"{low:.3f} to {high:.3f} ({share})"


def _cosines(labelled: LabelledImages, graph: Path) -> Cosines:
    session = Session(graph, SessionOptions())
    embeddings = {
        image: np.asarray(session.run(feeds, ["embedding"])["embedding"][0], np.float64)
        for image, feeds in labelled.samples.items()
    }
    return {
        kind: np.array(
            [
                float(np.clip(embeddings[pair.image_a] @ embeddings[pair.image_b], -1, 1))
                for pair in labelled.pairs.pairs
                if pair.kind == kind
            ]
        )
        for kind in KINDS
    }
