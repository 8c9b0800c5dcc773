"""`background`: cut the foreground of images out."""

import argparse
from pathlib import Path
from typing import Any, get_args

from runtime.arrays import Image
from runtime.cli.command import Answer, Command, ReadyCommand
from runtime.cli.files import OutputPaths, error_context, read_file
from runtime.cli.model_repository import ModelRepository
from runtime.cli.options import add_artifacts_option, add_model_option
from runtime.cutout.compose import Backdrop, is_transparent, parse_colour
from runtime.draw import draw_matte
from runtime.errors import InputError
from runtime.media.images.decode import decode_photo
from runtime.media.suffixes import IMAGES
from runtime.model import Model
from runtime.predict.prepare import Bounds
from runtime.tasks import defaults
from runtime.tasks.background import (
    SIDES_PX,
    CutOut,
    Method,
    Options,
    backdrop_of,
    background,
)

_SUFFIXES = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_artifacts_option(parser)
    add_model_option(parser, defaults.BACKGROUND_MODEL)
    add, default = parser.add_argument, Options()
    add(
        "--out",
        type=Path,
        metavar="OUT.png",
        help="write the cut-out to this file; with several files, to files in this folder",
    )
    add(
        "--format",
        choices=tuple(_SUFFIXES),
        help="format of --out (default: by its suffix, else png); jpeg needs --color or --behind",
    )
    backdrop = parser.add_mutually_exclusive_group()
    backdrop.add_argument(
        "--color",
        metavar="RRGGBB",
        help="colour behind the foreground (default: transparent)",
    )
    backdrop.add_argument(
        "--behind",
        type=Path,
        metavar="IMAGE",
        help="image behind the foreground, scaled to cover all of it",
    )
    add(
        "--method",
        choices=get_args(Method),
        default="auto",
        help="how to find the foreground; auto: by --model, or by GrabCut if the model is absent "
        "or finds nothing (default: %(default)s)",
    )
    add(
        "--max-side",
        type=int,
        default=default.max_side_px,
        metavar="PX",
        help=f"longer side of the smaller image that edges and colours are fitted in, "
        f"{SIDES_PX[0]} to {SIDES_PX[1]} (default: %(default)s)",
    )
    add(
        "--no-refine",
        action="store_true",
        help="scale the mask up instead of fitting its edges to the image",
    )
    add(
        "--no-clean",
        action="store_true",
        help="leave the colour of the old background in half-transparent pixels",
    )


def _prepare(options: argparse.Namespace, bounds: Bounds) -> ReadyCommand:
    task_options = Options(
        options.method, options.max_side, not options.no_refine, not options.no_clean, bounds.pixels
    )
    if not SIDES_PX[0] <= options.max_side <= SIDES_PX[1]:
        smallest, largest = SIDES_PX
        raise InputError(f"--max-side is {options.max_side}; allowed: {smallest} to {largest} px")
    form, (backdrop, backdrop_warnings) = _format(options), _backdrop(options, bounds)
    if form == "jpeg" and is_transparent(backdrop):
        raise InputError(
            "JPEG has no transparency; allowed: --color, an opaque --behind, png or webp"
        )
    model = _model(ModelRepository(options.artifacts), options)
    outputs = OutputPaths("--out", options.out, _SUFFIXES[form]) if options.out else None

    def answer(path: Path) -> Answer:
        photo = decode_photo(read_file(path), max_pixels=bounds.pixels, with_alpha=True)
        result = background(photo, model, task_options)
        out: dict[str, Any] = {}
        if outputs:
            out_path = outputs.path_for(path)
            out_path.write_bytes(result.encode(backdrop=backdrop, form=form))
            out = {"out": str(out_path)}
        return Answer(
            result.provenance,
            {**result.to_json(), **out},
            (_format_result(result, out.get("out")),),
            (*result.warnings, *backdrop_warnings),
            lambda: _draw(photo.pixels, result),
        )

    return ReadyCommand(answer, IMAGES, outputs.check if outputs else lambda count: None)


def _format(options: argparse.Namespace) -> Any:
    if options.format or not options.out:
        return options.format or "png"
    by_suffix = {**{suffix: form for form, suffix in _SUFFIXES.items()}, ".jpeg": "jpeg"}
    return by_suffix.get(options.out.suffix.lower(), "png")


def _backdrop(options: argparse.Namespace, bounds: Bounds) -> tuple[Backdrop, tuple[str, ...]]:
    """Return the colour or picture behind the foreground, None for transparency; and warnings."""
    if options.behind:
        with error_context(options.behind, "--behind "):
            data = read_file(options.behind)
            photo = decode_photo(data, max_pixels=bounds.pixels, with_alpha=True)
        return backdrop_of(photo), tuple(f"--behind: {text}" for text in photo.warnings)
    if options.color is None:
        return None, ()
    colour = parse_colour(options.color)
    if colour is None:
        raise InputError(f"--color is {options.color!r}; allowed: #rrggbb or #rgb")
    return colour, ()


def _model(repository: ModelRepository, options: argparse.Namespace) -> Model | None:
    if options.method == "grabcut":
        return None
    is_required = options.method == "model" or options.model != defaults.BACKGROUND_MODEL
    return repository.find(options.model) if is_required else repository.get(options.model)


def _format_result(result: CutOut, out: str | None) -> str:
    arrow = f" -> {out}" if out else ""
    return f"{result.alpha.mean() / 255:.0%} foreground, by {result.method}{arrow}"


def _draw(image: Image, result: CutOut) -> Image:
    alpha = (result.alpha / 255).astype("float32")
    return draw_matte(image, result.foreground, alpha, caption=_format_result(result, None))


COMMAND = Command(
    "background",
    "Cut the foreground of images out, in front of a transparent or another background.",
    _add_options,
    _prepare,
)
