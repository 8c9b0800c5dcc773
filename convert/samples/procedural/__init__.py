"""Media made by the project: calibration, verification and demo inputs where nobody gave any.

Deterministic, and split by purpose: nothing of one split occurs in another. They show that a
pipeline works; results on them are a weaker word than results on real media.
"""

from convert.samples.procedural.images import generate_images

# splits; the number is part of every seed
CALIBRATION, EVALUATION, GOLDEN, SAMPLES = range(4)

__all__ = ["CALIBRATION", "EVALUATION", "GOLDEN", "SAMPLES", "generate_images"]
