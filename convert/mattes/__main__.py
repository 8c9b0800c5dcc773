"""Judge the edges and colours of cut-outs on composites whose alpha and foreground are known.

python -m convert.mattes
python -m convert.mattes --images DIR --artifact artifacts/background_u2netp
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

from convert.mattes.composites import Image, composites
from convert.mattes.masks import KINDS, made_by
from convert.mattes.measures import Compared, compare
from convert.samples.procedural import EVALUATION, media
from runtime.errors import InputError, SlipwayError
from runtime.media.images.decode import decode_image

HEADINGS = ("mask", "pictures", "edges", "MAE", "band MAE", "band MSE", "gradient", "colour")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; gives the exit code."""
    given = _parser().parse_args(arguments)
    try:
        textures = _photos(given.images) if given.images else media("scene", EVALUATION, 16)
        kinds = {**KINDS, "model": made_by(given.artifact)} if given.artifact else KINDS
    except SlipwayError as error:
        print(f"mattes: {error}", file=sys.stderr)
        return 1
    pictures = composites(textures, count=given.count, longest_px=given.side)
    print(_line(HEADINGS))
    for name, masked in kinds.items():
        for line in _lines(name, compare(pictures, masked)):
            print(line, flush=True)
    print("alpha in thousandths, colour in levels; smaller is better; band: near soft pixels")
    return 0


def _lines(name: str, found: Compared) -> Iterator[str]:
    for way in ("bilinear", "refined", "cleaned"):
        figures = (f"{value:.2f}" for value in astuple(getattr(found, way)))
        yield _line((name, str(found.pictures), way, *figures))


def _line(cells: Sequence[str]) -> str:
    return "".join(cell.ljust(10) for cell in cells).rstrip()


def _photos(folder: Path) -> list[Image]:
    found = []
    for path in sorted(folder.iterdir()):
        try:
            found.append(decode_image(path.read_bytes()))
        except (InputError, OSError):  # what else is in the folder
            continue
    if len(found) < 2:
        raise InputError(f"{folder} holds {len(found)} images; allowed: two or more")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m convert.mattes", description=__doc__)
    add = parser.add_argument
    add("--images", type=Path, metavar="DIR", help="photos to put together; none: drawings")
    add("--artifact", type=Path, metavar="DIR", help="a model whose masks are judged too")
    add("--count", type=int, default=12, help="pictures (12)")
    add("--side", type=int, default=1400, help="their longer side in px (1400)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
