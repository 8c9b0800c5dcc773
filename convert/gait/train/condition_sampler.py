"""Random conditions for training, by probabilities that depend on the gait.

A related condition occurs with its own gait more often than with others. A network that learns
these probabilities uses a condition as a clinician does: it decides where the walk is unclear, and
has little effect where the walk is clear.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.gait.condition_embeddings import embed, find_encoder
from convert.gait.conditions import Condition
from convert.samples.walkers import LABELS

UNKNOWN_SHARE = 0.3  # of the walkers have no condition: an embedding of zeros
UNRELATED_SHARE = 0.15  # have a condition that does not concern walking
MATCHING_SHARE = 0.6  # of the others have a condition related to their own gait
EMBEDDING_NOISE = 0.015  # standard deviation per value: users will phrase conditions differently

TEMPLATES = (
    "{}",
    "Patient with {}.",
    "Known {}.",
    "History of {}.",
    "Diagnosis: {}",
    "72-year-old woman with {}.",
    "58-year-old man, {} two years ago.",
    "Referred for gait analysis because of {}.",
)
# for the report alone: what a clinician might type, and the gait that it should make likelier
PARAPHRASES = (
    ("weakness of the left arm and leg since a blocked artery in the brain last year", 1),
    ("spastic right side after a bleed in the brain", 1),
    ("CVA 2021, residual right-sided spasticity", 1),
    ("resting tremor, rigidity and slowness, takes levodopa", 2),
    ("PD, Hoehn and Yahr 3", 2),
    ("stiff and slow since starting risperidone", 2),
    ("pain in the right knee when climbing stairs", 3),
    ("waiting for a total hip replacement, walks with pain", 3),
    ("twisted her foot at football yesterday, swollen and painful", 3),
    ("drank a bottle of vodka, unsteady", 4),
    ("SCA3, slurred speech, poor coordination", 4),
    ("vertigo and imbalance for three days", 4),
    ("cannot lift the toes after a knee dislocation", 5),
    ("weak ankle dorsiflexion since disc surgery", 5),
    ("long-standing diabetes with numb feet, trips over carpets", 5),
    ("no illnesses, takes no medication, runs marathons", 0),
    ("healthy volunteer", 0),
)


@dataclass(frozen=True, slots=True)
class ConditionSampler:
    """Embedded phrases by the gait that they are related to."""

    related: tuple[NDArray[np.float32], ...]  # (n, 384) per label, in the order of LABELS
    unrelated: NDArray[np.float32]  # (n, 384)

    def sample(self, rng: np.random.Generator, label: int) -> NDArray[np.float32]:
        """Sample the embedding, (384,), of a condition for a walker of a class."""
        kind = rng.random()
        if kind < UNKNOWN_SHARE:
            return np.zeros(self.unrelated.shape[1], np.float32)
        if kind < UNKNOWN_SHARE + UNRELATED_SHARE:
            phrases = self.unrelated
        else:
            others = [index for index in range(len(self.related)) if index != label]
            related_label = label if rng.random() < MATCHING_SHARE else int(rng.choice(others))
            phrases = self.related[related_label]
        return _add_noise(rng, phrases[rng.integers(len(phrases))])


def training_phrases(condition: Condition) -> list[str]:
    """Return the phrases for a condition in training; its last synonym is left to the report."""
    names = (condition.name, *condition.synonyms[:-1])
    return [
        condition.text,
        condition.description,
        *(template.format(name) for name in names for template in TEMPLATES),
    ]


def all_texts(conditions: Iterable[Condition]) -> list[str]:
    """Return every text that training or report embeds, each once."""
    texts = [text for c in conditions for text in (*training_phrases(c), *c.synonyms)]
    return list(dict.fromkeys([*texts, *(text for text, _ in PARAPHRASES)]))


def embed_texts(conditions: Iterable[Condition]) -> dict[str, NDArray[np.float32]]:
    """Return the embedding, (384,) of L2 norm 1, of each of `all_texts`.

    Raises:
        CheckpointError: there is no text model.
    """
    texts = all_texts(conditions)
    return dict(zip(texts, embed(texts, find_encoder()), strict=True))


def build_sampler(
    conditions: Sequence[Condition], embeddings: dict[str, NDArray[np.float32]]
) -> ConditionSampler:
    """Group the embedded phrases of a table by gait."""

    def phrases_of(gait: str | None) -> NDArray[np.float32]:
        related = (condition for condition in conditions if condition.gait == gait)
        return np.stack([embeddings[text] for c in related for text in training_phrases(c)])

    return ConditionSampler(tuple(phrases_of(label) for label in LABELS), phrases_of(None))


def _add_noise(rng: np.random.Generator, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add EMBEDDING_NOISE and scale to L2 norm 1."""
    noisy = embedding + rng.normal(0, EMBEDDING_NOISE, embedding.shape)
    return (noisy / np.linalg.norm(noisy)).astype(np.float32)
