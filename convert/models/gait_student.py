"""Gait of a walking person, from sixteen frames and the patient's clinical condition.

`convert.gait.train` trained the weights in gait_student.pt on synthetic walkers; they have never
seen a person. convert/GAIT.md says how far to trust them, and how to convert a network of another
architecture. An owner's checkpoint of this architecture brings its class names, or the owner names
them with a labels file.

The conditions with a name are in gait_conditions.json in this folder. A file of the same form at
checkpoints/gait_student.conditions.json replaces it.
"""

from pathlib import Path

from convert.authoring import (
    GAIT_FRAMES,
    GAIT_LABELS,
    GAIT_SIDE,
    CheckpointError,
    FramesInput,
    Letterbox,
    Loaded,
    Probabilities,
    Recipe,
    SampleFrames,
    Tolerance,
    TorchNetwork,
    condition_assets,
    condition_sources,
    load_strictly,
    read_labels,
    read_state_dict,
    sample_input,
    seed_torch,
)

CONDITION_SIZE = 384  # of the embedding of a condition
SYNTHETIC_WEIGHTS = Path(__file__).with_suffix(".pt")
CLASSIFIER_KEY = "classifier.weight"


def _load(path: Path) -> Loaded:
    from convert.architectures.gait_student import GaitStudent

    state = read_state_dict(path)
    if CLASSIFIER_KEY not in state:
        raise CheckpointError(f"{path}: no {CLASSIFIER_KEY}; needed: a GaitStudent's state_dict")
    module = GaitStudent(class_count=len(state[CLASSIFIER_KEY]))
    load_strictly(module, state, path=path)
    labels = GAIT_LABELS if path == SYNTHETIC_WEIGHTS else read_labels(path)
    return _loaded_model(module, labels=labels)


def _seed() -> Loaded:
    from convert.architectures.gait_student import RESIDUAL_NORMS, GaitStudent

    module = GaitStudent(class_count=len(GAIT_LABELS))
    loaded = _loaded_model(module, labels=GAIT_LABELS)
    seed_torch(module, sample_input(loaded, media="walker"), residual_norms=RESIDUAL_NORMS)
    return loaded


def _loaded_model(module: object, *, labels: tuple[str, ...]) -> Loaded:
    frames, side = GAIT_FRAMES, GAIT_SIDE  # 16, 224 px
    shapes = {"clip": (frames, 3, side, side), "patient": (CONDITION_SIZE,)}
    return Loaded(
        network=TorchNetwork(module, inputs=shapes),
        input=FramesInput(frames, side, side, condition=CONDITION_SIZE),
        head=Probabilities(softmax=True),
        preprocess=(SampleFrames(frames), Letterbox(side, side, "linear_antialias")),
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
    synthetic_weights=SYNTHETIC_WEIGHTS,
    reads=condition_sources,
)
