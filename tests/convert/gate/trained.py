"""Small networks that know their task, in recipe files, with media that show it.

The media are squares of a colour on a dim ground. The classifier is trained; the detector and the
network of masks have filters that see colours, because no training is needed to find a square.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE, CELL = 64, 8  # px
KINDS = ("red", "green", "blue", "yellow")
COLOURS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.8, 0.8, 0]], np.float32)

IMPORTS = """from pathlib import Path

from convert.authoring import (
    Boxes, ImageInput, Loaded, NmsConfig, Probabilities, Recipe, Resize, StretchedAlpha, Tolerance,
    TorchNetwork, load_strictly, read_state_dict,
)

SIDE = 64
LABELS = ("red", "green", "blue", "yellow")
"""
RECIPE = """

def load(path: Path):
    module = network()
    load_strictly(module, read_state_dict(path), path=path)
    return Loaded(
        network=TorchNetwork(module, input_shape=(3, SIDE, SIDE), outputs=OUTPUTS),
        input=ImageInput(SIDE, SIDE, 3, mean=(0.0,) * 3, std=(1.0,) * 3),
        head=HEAD,
        preprocess=(Resize(height=SIDE, width=SIDE, interpolation="linear"),),
        labels=LABELS if TASK != "image-segmentation" else (),
        suppression=NmsConfig(0.25, 0.7, 100) if TASK == "object-detection" else None,
    )


RECIPE = Recipe(
    task=TASK,
    description="Coloured squares",
    licence="Apache-2.0",
    load=load,
    tolerance=TOLERANCE,
    media="scene",
)
"""
CLASSIFIER = """
def network():
    from torch import nn

    layers = []
    for channels in (3, 32, 32):
        layers += [nn.Conv2d(channels, 32, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 4))


TASK, OUTPUTS, HEAD = "image-classification", 1, Probabilities(softmax=True)
TOLERANCE = Tolerance(at_least={"top1_agreement": 1}, at_most={"probability_distance": 1e-5})
"""
DETECTOR = """
def network():
    import torch
    from torch import nn

    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.colours = nn.Conv2d(3, 8, 8, stride=8)
            self.scores = nn.Conv2d(8, 4, 1)
            self.offsets = nn.Conv2d(8, 4, 1)
            edges = torch.arange(8) * 8.0
            top, left = torch.meshgrid(edges, edges, indexing="ij")
            cells = torch.stack([left, top, left + 8, top + 8], dim=2).reshape(64, 4)
            self.register_buffer("cells", cells)

        def forward(self, image):
            colours = torch.relu(self.colours(image))
            scores, offsets = (
                head(colours).flatten(2).permute(0, 2, 1) for head in (self.scores, self.offsets)
            )
            return self.cells + offsets, torch.sigmoid(scores)

    return Detector()


TASK, OUTPUTS, HEAD = "object-detection", 2, Boxes()
TOLERANCE = Tolerance(at_least={"box_recall": 1, "box_iou_p05": 1})
"""
MASKS = """
def network():
    from torch import nn

    first, second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 1)
    return nn.Sequential(first, nn.ReLU(), second, nn.Sigmoid())


TASK, OUTPUTS, HEAD = "image-segmentation", 1, StretchedAlpha()
TOLERANCE = Tolerance(at_least={"iou_mean": 1}, at_most={"mae": 0.02, "collapsed_fraction": 0})
"""
NETWORKS = {"classifier": CLASSIFIER, "detector": DETECTOR, "masks": MASKS}


@dataclass(frozen=True, slots=True)
class Scene:
    """An image with squares in cells."""

    pixels: NDArray[np.uint8]  # (SIDE, SIDE, 3) RGB
    cells: tuple[tuple[int, int], ...]  # row and column of each square
    kinds: tuple[int, ...]


def make_scene(number: int, squares: int) -> Scene:
    rng = np.random.default_rng((7, number))
    coarse = rng.uniform(0, 0.12, (6, 6, 3)).astype(np.float32)
    pixels = np.asarray(cv2.resize(coarse, (SIDE, SIDE)), np.float32)
    pixels += rng.normal(0, 0.01, pixels.shape).astype(np.float32)
    places = rng.permutation(SIDE // CELL * (SIDE // CELL))[:squares]
    kinds = rng.integers(len(KINDS), size=squares)
    if squares == 1:
        kinds[:] = number % len(KINDS)
    cells = [(int(place) // 8, int(place) % 8) for place in places]
    for (row, column), kind in zip(cells, kinds, strict=True):
        y, x = row * CELL, column * CELL
        light = COLOURS[kind] * rng.uniform(0.55, 1) + rng.uniform(0, 0.1, 3)
        pixels[y : y + CELL, x : x + CELL] = light
    clipped = (pixels.clip(0, 1) * 255).astype(np.uint8)
    return Scene(clipped, tuple(cells), tuple(map(int, kinds)))


def write_scene(path: Path, scene: Scene) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), scene.pixels[..., ::-1])


def write_labels(directory: Path, kind: str, scenes: list[Scene]) -> Path:
    """Write media with the labels that their networks need, and return the directory."""
    for number, scene in enumerate(scenes):
        name = f"{number:03d}"
        if kind == "classifier":
            write_scene(directory / KINDS[scene.kinds[0]] / f"{name}.png", scene)
            continue
        write_scene(directory / "images" / f"{name}.png", scene)
        if kind == "masks":
            mask = np.zeros((SIDE, SIDE), np.uint8)
            for row, column in scene.cells:
                mask[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 255
            (directory / "masks").mkdir(exist_ok=True)
            assert cv2.imwrite(str(directory / "masks" / f"{name}.png"), mask)
            continue
        cell = CELL / SIDE
        lines = [
            f"{k} {(column + 0.5) * cell} {(row + 0.5) * cell} {cell} {cell}"
            for (row, column), k in zip(scene.cells, scene.kinds, strict=True)
        ]
        (directory / "labels").mkdir(exist_ok=True)
        (directory / "labels" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return directory


def write_network(directory: Path, kind: str) -> tuple[Path, Path]:
    """Write a recipe and its checkpoint; return both paths."""
    import torch

    recipe, checkpoint = directory / f"squares_{kind}.py", directory / f"{kind}.pth"
    network = IMPORTS + NETWORKS[kind]
    recipe.write_text(network + RECIPE, encoding="utf-8")
    names: dict[str, Any] = {}
    exec(compile(network, str(recipe), "exec"), names)
    module = names["network"]()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        {"classifier": _train, "detector": _set_detector, "masks": _set_masks}[kind](module)
    torch.save(module.state_dict(), checkpoint)
    return recipe, checkpoint


def _train(module: Any) -> None:
    """Train on 400 scenes for some seconds."""
    import torch
    from torch import nn

    for layer in module:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    scenes = [make_scene(1000 + number, squares=1) for number in range(400)]
    images = np.stack([scene.pixels for scene in scenes]).transpose(0, 3, 1, 2)
    inputs = torch.from_numpy(np.asarray(images, np.float32) / 255)
    targets = torch.tensor([scene.kinds[0] for scene in scenes])
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-3)
    for step in range(90):
        rows = torch.arange(step * 64, step * 64 + 64) % len(scenes)
        loss = nn.functional.cross_entropy(module(inputs[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _set_detector(module: Any) -> None:
    """Let the first layer see the mean colour of a cell, the second decide on its kind."""
    import torch

    with torch.no_grad():
        for layer in (module.colours, module.scores, module.offsets):
            torch.nn.init.normal_(layer.weight, std=1e-3)
            torch.nn.init.zeros_(layer.bias)
        for channel in range(3):
            module.colours.weight[channel, channel] += 1 / CELL**2
        colours = torch.from_numpy(COLOURS)
        own = colours / colours.square().sum(dim=1, keepdim=True)
        module.scores.weight[:, :3, 0, 0] += 14 * (own - 1.2 * (colours == 0).float())
        module.scores.bias -= 5.5
        module.offsets.weight *= 100


def _set_masks(module: Any) -> None:
    """Let the first layer smooth each colour, the second find where one is bright."""
    import torch

    first, _, second, _ = module
    with torch.no_grad():
        for layer in (first, second):
            torch.nn.init.normal_(layer.weight, std=1e-3)
            torch.nn.init.zeros_(layer.bias)
        for channel in range(3):
            first.weight[channel, channel, 1, 1] += 1
        second.weight[0, :3] += 30
        second.bias -= 13
