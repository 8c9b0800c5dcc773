"""Gait of a walking person: sixteen frames and what is known about the patient.

The weights beside this file learnt from drawn walkers (`convert.gait.train`) and have never seen a
person; what they are worth: convert/GAIT.md. An owner's checkpoint of the same architecture brings
its class names, or they are named with a labels file; another architecture is a recipe of its own,
see there.

The table of conditions is gait_conditions.json beside this file; another of the same form counts
where it is placed as checkpoints/gait_student.conditions.json.
"""

from pathlib import Path

from convert.checkpoint import load_strictly, read_labels, read_state_dict
from convert.errors import CheckpointError
from convert.export.frameworks.torch_module import TorchNetwork
from convert.export.numerics import FramesInput, Probabilities
from convert.gait.condition_embeddings import condition_assets, condition_sources
from convert.recipe import Loaded, Recipe, Tolerance
from convert.samples.walkers import FRAMES, LABELS, SIDE
from convert.weights.seeded import sample_input, seed_torch
from runtime.artifact.manifest import Letterbox, SampleFrames

CONDITION_SIZE = 384
DRAWN = Path(__file__).with_suffix(".pt")  # learnt from drawings
CLASSIFIER = "classifier.weight"


def _load(path: Path) -> Loaded:
    from convert.architectures.gait_student import GaitStudent

    state = read_state_dict(path)
    if CLASSIFIER not in state:
        raise CheckpointError(f"{path}: no {CLASSIFIER}; this model is read from a GaitStudent's")
    module = GaitStudent(class_count=len(state[CLASSIFIER]))
    load_strictly(module, state, path=path)
    return _around(module, labels=LABELS if path == DRAWN else read_labels(path))


def _seed() -> Loaded:
    from convert.architectures.gait_student import RESIDUAL_NORMS, GaitStudent

    module = GaitStudent(class_count=len(LABELS))
    loaded = _around(module, labels=LABELS)
    seed_torch(module, sample_input(loaded, media="walker"), residual_norms=RESIDUAL_NORMS)
    return loaded


def _around(module: object, *, labels: tuple[str, ...]) -> Loaded:
    """What surrounds the network."""
    shapes = {"clip": (FRAMES, 3, SIDE, SIDE), "patient": (CONDITION_SIZE,)}
    return Loaded(
        network=TorchNetwork(module, inputs=shapes),
        input=FramesInput(FRAMES, SIDE, SIDE, condition=CONDITION_SIZE),
        head=Probabilities(softmax=True),
        preprocess=(SampleFrames(FRAMES), Letterbox(SIDE, SIDE, "linear_antialias")),
        labels=labels,
        assets=condition_assets(),
    )


RECIPE = Recipe(
    task="video-classification",
    description="Gait class of a walking person, with a clinical condition as context",
    licence="Apache-2.0",
    load=_load,
    seed=_seed,
    tolerance=Tolerance(at_least={"top1_agreement": 0.98}, at_most={"probability_distance": 0.015}),
    media="walker",
    drawn=DRAWN,
    reads=condition_sources,
)
