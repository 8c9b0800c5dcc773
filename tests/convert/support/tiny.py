"""A recipe file of a small torch classifier, as a user keeps it outside the repository."""

from pathlib import Path
from typing import Any

SIDE = 32
LABELS = ("left", "middle", "right")

RECIPE = '''
"""Three strides and a mean: small enough to convert in seconds, wide enough for INT8 to pay."""

from pathlib import Path

from convert.authoring import (
    ImageInput, Loaded, Probabilities, Recipe, Resize, Tolerance, TorchNetwork, load_strictly,
    read_state_dict, sample_input, seed_torch,
)

SIDE = 32
WIDTH = 64
LABELS = ("left", "middle", "right")


def network():
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH), nn.ReLU(),
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH), nn.ReLU(),
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, len(LABELS)),
    )


def loaded_model(module):
    return Loaded(
        network=TorchNetwork(module, input_shape=(3, SIDE, SIDE)),
        input=ImageInput(SIDE, SIDE, 3, mean=(0.5,) * 3, std=(0.25,) * 3),
        head=Probabilities(softmax=True),
        preprocess=(Resize(height=SIDE, width=SIDE, interpolation="linear"),),
        labels=LABELS,
    )


def load(path: Path):
    module = network()
    load_strictly(module, read_state_dict(path), path=path)
    return loaded_model(module)


def seed():
    module = network()
    loaded = loaded_model(module)
    seed_torch(module, sample_input(loaded, media="scene"))
    return loaded


RECIPE = Recipe(
    task="image-classification",
    description="Where the object is",
    licence="Apache-2.0",
    load=load,
    seed=seed,
    tolerance=Tolerance(at_most={"probability_distance": DISTANCE}),
    media="scene",
)
'''


def write_recipe(
    directory: Path, *, model_id: str = "where_is_it", distance: float = 0.2, extra: str = ""
) -> Path:
    """Write a recipe file; `distance` is the tolerance, which no graph keeps if negative."""
    path = directory / f"{model_id}.py"
    text = RECIPE.replace("DISTANCE", str(distance)) + extra
    path.write_text(text, encoding="utf-8")
    return path


def write_checkpoint(recipe_path: Path, target: Path) -> dict[str, Any]:
    """Write the seeded weights of a recipe as a torch file; return the state_dict."""
    import torch

    from convert.recipe import read

    seed = read(recipe_path).recipe.seed
    assert seed is not None
    arrays = seed().network.weights()
    # the network is wrapped for the exporter: the checkpoint has the keys of the inner module
    state = {
        name.removeprefix("inner."): torch.from_numpy(array.copy())
        for name, array in arrays.items()
    }
    torch.save(state, target)
    return state
