"""`background`: the foreground of images, cut out."""

import argparse
from pathlib import Path
from typing import Any

from runtime.cli.command import Answer, Command, ReadyCommand
from runtime.cli.files import Targets, naming, read_file
from runtime.cli.options import declare_artifacts, declare_model
from runtime.cli.shelf import Shelf
from runtime.cutout.compose import Backdrop, parse_colour
from runtime.draw import Picture, draw_matte
from runtime.errors import InputError
from runtime.media.images.decode import decode_image
from runtime.media.suffixes import IMAGES
from runtime.model import Model
from runtime.predict.prepare import Bounds
from runtime.tasks import defaults
from runtime.tasks.background import CutOut, Options, background

_SUFFIXES = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
_SIDES_PX = (32, 8192)


def _declare(parser: argparse.ArgumentParser) -> None:
    declare_artifacts(parser)
    declare_model(parser, defaults.BACKGROUND_MODEL)
    add, default = parser.add_argument, Options()
    add("--out", type=Path, metavar="OUT.png", help="the cut-out, or a folder for several")
    add("--format", choices=tuple(_SUFFIXES), help="default: as --out is named, else png")
    behind = parser.add_mutually_exclusive_group()
    behind.add_argument("--color", metavar="RRGGBB", help="behind the foreground")
    behind.add_argument("--behind", type=Path, metavar="IMAGE", help="a picture behind it")
    add("--method", choices=("auto", "model", "grabcut"), default="auto", help="default: auto")
    add(
        "--max-side",
        type=int,
        default=default.max_side_px,
        metavar="PX",
        help="longer side of the image that the mask is made from (default: %(default)s)",
    )
    add("--no-refine", action="store_true", help="edges of the mask scaled up, not the image's")
    add("--no-clean", action="store_true", help="soft pixels keep the colour of what was behind")


def _open(given: argparse.Namespace, bounds: Bounds) -> ReadyCommand:
    options = Options(
        given.method, given.max_side, not given.no_refine, not given.no_clean, bounds.pixels
    )
    if not _SIDES_PX[0] <= given.max_side <= _SIDES_PX[1]:
        smallest, largest = _SIDES_PX
        raise InputError(f"--max-side is {given.max_side}; allowed: {smallest} to {largest} px")
    form, behind = _format(given), _behind(given, bounds)
    if form == "jpeg" and behind is None:
        raise InputError("JPEG has no transparency; allowed: --color, --behind, png or webp")
    model = _model(Shelf(given.artifacts), given)
    targets = Targets("--out", given.out, _SUFFIXES[form]) if given.out else None

    def ask(path: Path) -> Answer:
        image = decode_image(read_file(path), max_pixels=bounds.pixels)
        result = background(image, model, options)
        written: dict[str, Any] = {}
        if targets:
            target = targets.path_for(path)
            target.write_bytes(result.encode(backdrop=behind, form=form))
            written = {"out": str(target)}
        return Answer(
            result.provenance,
            {**result.to_json(), **written},
            (_line(result, written.get("out")),),
            result.warnings,
            lambda: _draw(image, result),
        )

    return ReadyCommand(ask, IMAGES, targets.check if targets else lambda count: None)


def _format(given: argparse.Namespace) -> Any:
    if given.format or not given.out:
        return given.format or "png"
    named = {**{suffix: form for form, suffix in _SUFFIXES.items()}, ".jpeg": "jpeg"}
    return named.get(given.out.suffix.lower(), "png")


def _behind(given: argparse.Namespace, bounds: Bounds) -> Backdrop:
    if given.behind:
        with naming(given.behind, "--behind "):
            return decode_image(read_file(given.behind), max_pixels=bounds.pixels)
    if given.color is None:
        return None
    colour = parse_colour(given.color)
    if colour is None:
        raise InputError(f"--color is {given.color!r}; allowed: #rrggbb or #rgb")
    return colour


def _model(shelf: Shelf, given: argparse.Namespace) -> Model | None:
    if given.method == "grabcut":
        return None
    must = given.method == "model" or given.model != defaults.BACKGROUND_MODEL
    return shelf.find(given.model) if must else shelf.get(given.model)


def _line(result: CutOut, out: str | None) -> str:
    where = f" -> {out}" if out else ""
    return f"{result.alpha.mean() / 255:.0%} foreground, by {result.method}{where}"


def _draw(image: Picture, result: CutOut) -> Picture:
    alpha = (result.alpha / 255).astype("float32")
    return draw_matte(image, result.foreground, alpha, caption=_line(result, None))


COMMAND = Command("background", "the foreground of images, cut out", _declare, _open)
