"""What is known about a patient, as evidence about the walk: phrases, their embeddings, their odds.

A related condition comes with its gait more often than with any other one, so a network that
learns the odds uses the condition as a clinician does: it tips the balance where the walk itself is
unclear, and gives way where the walk is plain.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.gait.condition_embeddings import embed, find_encoder
from convert.gait.conditions import Condition
from convert.samples.walkers import LABELS

UNKNOWN = 0.3  # share of walkers about whom nothing is known: an embedding of zeros
UNRELATED = 0.15  # share with a condition that says nothing about the walk
MATCHING = 0.6  # of the others, share whose condition is related to their own gait
BLUR = 0.015  # spread of the noise on each of the 384 values: phrases of users will differ

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
# never trained on: what a clinician might type, and the gait that it should make likelier
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
class Evidence:
    """Embedded phrases by what they speak for."""

    related: tuple[NDArray[np.float32], ...]  # (n, 384) for each of LABELS
    unrelated: NDArray[np.float32]  # (n, 384)

    def draw(self, rng: np.random.Generator, label: int) -> NDArray[np.float32]:
        """(384,) what is known about a walker of a class."""
        kind = rng.random()
        if kind < UNKNOWN:
            return np.zeros(self.unrelated.shape[1], np.float32)
        if kind < UNKNOWN + UNRELATED:
            phrases = self.unrelated
        else:
            others = [index for index in range(len(self.related)) if index != label]
            suspected = label if rng.random() < MATCHING else int(rng.choice(others))
            phrases = self.related[suspected]
        return _blurred(rng, phrases[rng.integers(len(phrases))])


def phrases(condition: Condition) -> list[str]:
    """All that a condition may be called in training; the last synonym is kept for the report."""
    names = (condition.name, *condition.synonyms[:-1])
    return [
        condition.text,
        condition.description,
        *(template.format(name) for name in names for template in TEMPLATES),
    ]


def all_texts(conditions: Iterable[Condition]) -> list[str]:
    """Every text whose embedding training and report need, each once."""
    texts = [text for c in conditions for text in (*phrases(c), *c.synonyms)]
    return list(dict.fromkeys([*texts, *(text for text, _ in PARAPHRASES)]))


def embeddings(conditions: Iterable[Condition]) -> dict[str, NDArray[np.float32]]:
    """(384,), L2 norm 1, by text: of every text that training and report need.

    Raises:
        CheckpointError: there is no text model.
    """
    texts = all_texts(conditions)
    return dict(zip(texts, embed(texts, find_encoder()), strict=True))


def gather(conditions: Sequence[Condition], vectors: dict[str, NDArray[np.float32]]) -> Evidence:
    """Put the phrases of the table behind the gaits that they speak for."""

    def stacked(gait: str | None) -> NDArray[np.float32]:
        return np.stack([vectors[t] for c in conditions if c.gait == gait for t in phrases(c)])

    return Evidence(tuple(stacked(label) for label in LABELS), stacked(None))


def _blurred(rng: np.random.Generator, vector: NDArray[np.float32]) -> NDArray[np.float32]:
    noisy = vector + rng.normal(0, BLUR, vector.shape)
    return (noisy / np.linalg.norm(noisy)).astype(np.float32)
