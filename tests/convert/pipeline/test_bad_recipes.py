"""Recipes that contradict themselves: refused with the field and what it must be."""

from pathlib import Path

import pytest

from convert.errors import RecipeError
from convert.pipeline.job import Job
from convert.pipeline.stages import convert
from convert.recipe import read

STEP = 'Resize(height=SIDE, width=SIDE, interpolation="linear")'
INPUT = "ImageInput(SIDE, SIDE, 3, mean=(0.5,) * 3, std=(0.25,) * 3)"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f"({STEP},)", STEP, "preprocess is Resize; needed: a tuple of steps"),
        (
            "height=SIDE, width=SIDE",
            "height=24, width=SIDE",
            "preprocess ends in 24 x 32 px; input takes 32 x 32 px",
        ),
        ("SIDE, SIDE, 3, mean=(0.5,) * 3", "SIDE, SIDE, 3, mean=0.5", "mean is 0.5; needed: a "),
        (
            INPUT,
            "ImageInput(SIDE, SIDE, 1, mean=(0.5,), std=(0.25,))",
            "preprocess ends in 3 channels; input takes 1: Grayscale() makes 1 of 3",
        ),
        (
            "nn.Conv2d(3, WIDTH",
            "nn.Conv2d(4, WIDTH",
            "the network fails on the recipe's input, image (N, 32, 32, 3): Given groups=1",
        ),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused_by_its_field(
    tiny_recipe: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = tiny_recipe.read_text(encoding="utf-8")
    assert old in text
    # the sample input of seed_torch would fail first
    text = text.replace("    seed_torch(module", "    (lambda *_: None)(module").replace(old, new)
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        convert(Job(read(path), tmp_path / "out", weights="seeded"), lambda stage: None)
    assert message in str(caught.value)
