"""Synthetic texts about patients and everyday life, put together from templates.

They are for networks, not for people: the grammar is right, the sense mostly is.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

SEED = 0x5E47  # other media have other seeds
SPLITS = 4
MAX_SENTENCES = 4  # of one text

PARTS: Mapping[str, Sequence[str]] = {
    "patient": (
        *("A 34-year-old woman", "A 71-year-old man", "The patient", "An elderly woman", "He"),
        *("She", "A retired nurse", "A 58-year-old builder", "A teenage athlete", "The resident"),
    ),
    "complaint": (
        *("weakness of the left leg", "numbness of both feet", "pain in the right knee"),
        *(
            "frequent falls",
            "a resting tremor of the hand",
            "dizziness on standing",
            "low back pain",
        ),
        *("slurred speech", "stiffness in the morning", "shortness of breath on stairs"),
        *("foot drop", "unsteadiness in the dark", "swelling of the ankle", "double vision"),
    ),
    "since": (
        *("since yesterday", "for three weeks", "since the operation", "for several years"),
        *("after a fall from a ladder", "since the last visit", "on and off since childhood"),
    ),
    "disease": (
        *(
            "ischaemic stroke",
            "Parkinson's disease",
            "multiple sclerosis",
            "osteoarthritis of the hip",
        ),
        *(
            "diabetic polyneuropathy",
            "lumbar spinal stenosis",
            "cerebellar ataxia",
            "atrial fibrillation",
        ),
        *(
            "a fracture of the femoral neck",
            "rheumatoid arthritis",
            "normal pressure hydrocephalus",
        ),
    ),
    "finding": (
        *("reduced arm swing on the right", "a broad-based gait", "brisk reflexes in both legs"),
        *("short shuffling steps", "normal strength and sensation", "a positive Romberg sign"),
        *("circumduction of the affected leg", "limited flexion of the knee", "no abnormality"),
    ),
    "plan": (
        *("Physiotherapy was started", "An MRI of the brain was ordered", "Levodopa was increased"),
        *("She was referred to a neurologist", "A walking frame was prescribed"),
        *("Follow-up in six weeks was agreed", "The dose of prednisolone was halved"),
    ),
    "person": (
        *("My neighbour", "The baker", "Our teacher", "A tourist", "The old captain", "My cousin"),
        *("Somebody", "The whole family", "A student from Lisbon", "Nobody"),
    ),
    "deed": (
        *("bought fresh bread", "missed the last train", "repaired the bicycle", "read a novel"),
        *("planted tomatoes", "lost an umbrella", "sang in the choir", "ordered two coffees"),
        *("watched the football match", "painted the fence green", "baked an apple pie"),
    ),
    "place": (
        *("at the market", "near the harbour", "in the kitchen", "behind the station", "in Kyoto"),
        *("on the mountain", "at grandmother's house", "in a crowded bus", "under the bridge"),
    ),
    "time": (
        *("on Sunday", "last winter", "early in the morning", "before the storm", "twice a week"),
        *("at half past nine", "during the holidays", "in 1987", "every evening"),
    ),
    "thing": (
        *("The weather", "This film", "The new phone", "The soup", "Her garden", "The exhibition"),
        *("The price of petrol", "That song", "The software update", "The hotel"),
    ),
    "opinion": (
        *("is better than I expected", "is far too expensive", "was a complete disappointment"),
        *("reminds me of summer", "needs a little more salt", "could not be easier to use"),
        *("made everybody laugh", "is closed until further notice"),
    ),
}
TEMPLATES = (
    "{patient} presents with {complaint} {since}.",
    "{patient} reports {complaint} and {complaint}.",
    "History of {disease}, now {complaint} {since}.",
    "On examination there is {finding}.",
    "{patient} walks with {finding} {since}.",
    "{plan} because of {complaint}.",
    "{plan}; known {disease}.",
    "Diagnosis: {disease}",
    "{complaint}, {finding}",
    "No sign of {disease}.",
    "{person} {deed} {place} {time}.",
    "{person} {deed} {time}, and {person} {deed} {place}.",
    "Why has {person} {deed} {place}?",
    "{thing} {opinion}.",
    "{thing} {opinion}, said {person} {time}.",
    "{deed} {place}",
)


def generate_sentences(split: int, count: int) -> list[str]:
    """Generate texts of one to MAX_SENTENCES sentences; no sentence is in two splits.

    Args:
        split: of `convert.samples.procedural`.
        count: number of texts; the first texts do not depend on it.
    """
    rng = np.random.default_rng((SEED, split))
    sentences = _sentences(rng, split)
    texts: dict[str, None] = {}
    while len(texts) < count:
        length = int(rng.integers(1, MAX_SENTENCES + 1))
        texts[" ".join(next(sentences) for _ in range(length))] = None
    return list(texts)


def synthetic_words() -> list[str]:
    """Return every word and punctuation mark of the sentences, lower case, sorted."""
    texts = (*TEMPLATES, *(text for part in PARTS.values() for text in part))
    marks = str.maketrans({mark: f" {mark} " for mark in ".,;:?'-{}"})
    return sorted({word for text in texts for word in text.lower().translate(marks).split()})


def _sentences(rng: np.random.Generator, split: int) -> Iterator[str]:
    """Yield the sentences of a split without end."""
    while True:
        sentence = _fill(rng, TEMPLATES[rng.integers(len(TEMPLATES))])
        # its hash assigns a sentence to one split, whichever split generates it
        if zlib.crc32(sentence.encode()) % SPLITS == split:
            yield sentence


def _fill(rng: np.random.Generator, template: str) -> str:
    sentence = template
    for name, options in PARTS.items():
        while (slot := f"{{{name}}}") in sentence:
            sentence = sentence.replace(slot, options[int(rng.integers(len(options)))], 1)
    return sentence[0].upper() + sentence[1:]
