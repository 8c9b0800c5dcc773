"""A scale of similarity for one model: judged pairs through its graph, as it serves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.errors import PairsError
from convert.pipeline.similarity.labelled_pairs import KINDS, Pairs
from convert.pipeline.similarity.score_scale import Cosines, fit_scale, measure_scale
from convert.recipe import Loaded, Recipe
from convert.samples.media import MODALITIES
from runtime.artifact.manifest import Manifest, SimilarityScale
from runtime.engine.session import Feeds, Session, SessionOptions
from runtime.errors import InputError

TASK = "image-feature-extraction"


@dataclass(frozen=True, slots=True)
class Judged:
    """Judged pairs as a graph takes them."""

    pairs: Pairs
    samples: Mapping[Path, Feeds]  # by image, batch axis 1


def read_judged(pairs: Pairs | None, recipe: Recipe, loaded: Loaded) -> Judged | None:
    """Decode and prepare the images of judged pairs as they would be served.

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
            samples[image] = modality.sample(modality.read(image.read_bytes()), loaded)
        except InputError as error:
            raise PairsError(f"{image}: {error}") from error
    return Judged(pairs, samples)


def scale_of(judged: Judged | None, graph: Path) -> SimilarityScale | None:
    """The scale that fits the pairs through a graph; None where nobody judged any.

    Raises:
        PairsError: too few pairs, or they contradict each other.
    """
    if judged is None:
        return None
    return fit_scale(_cosines(judged, graph), judged.pairs)


def verified(
    manifest: Manifest, judged: Judged | None, folder: Path, report: Callable[[str], None]
) -> Manifest:
    """The manifest with what its scale makes of the pairs, by each variant's very file.

    Args:
        manifest: of the version in `folder`.
        judged: the pairs that the scale was fitted to; None: there is no scale.
        folder: holds the variants.
        report: is told what the variant that serves makes of them.
    """
    scale = manifest.spec.similarity
    if judged is None or scale is None:
        return manifest
    facts = [
        measure_scale(_cosines(judged, folder / variant.files[0].name), scale)
        for variant in manifest.variants
    ]
    report(_summary(facts[0]))
    variants = tuple(
        replace(variant, verification={**variant.verification, "similarity": found})
        for variant, found in zip(manifest.variants, facts, strict=True)
    )
    return replace(manifest, variants=variants)


def _summary(found: Mapping[str, Any]) -> str:
    """What the scale makes of the pairs, on one line."""
    kinds = (f"{kind} {_told(found[kind])}" for kind in KINDS if found[kind]["pairs"])
    return f"similarity of the pairs: {'; '.join(kinds)}"


def _told(found: Mapping[str, float]) -> str:
    low, high = found["score_min"], found["score_max"]
    return f"{low:.3f} to {high:.3f} ({found['within']:.0%} of {found['pairs']} as they should be)"


def _cosines(judged: Judged, graph: Path) -> Cosines:
    session = Session(graph, SessionOptions())
    embeddings = {
        image: np.asarray(session.run(feeds, ["embedding"])["embedding"][0], np.float64)
        for image, feeds in judged.samples.items()
    }
    return {
        kind: np.array(
            [
                float(np.clip(embeddings[pair.image_a] @ embeddings[pair.image_b], -1, 1))
                for pair in judged.pairs.pairs
                if pair.kind == kind
            ]
        )
        for kind in KINDS
    }
