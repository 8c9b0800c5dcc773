"""`similarity`: how alike one image and others are."""

import argparse
from pathlib import Path

from runtime.cli.command import Answer, Command, ReadyCommand
from runtime.cli.files import naming, read_file
from runtime.cli.options import declare_artifacts, declare_model
from runtime.cli.shelf import Shelf
from runtime.draw import Picture, draw_pair
from runtime.media.images.decode import decode_image
from runtime.media.suffixes import IMAGES
from runtime.predict.prepare import Bounds
from runtime.tasks import defaults
from runtime.tasks.similarity import Similarity, embed, similarity


def _declare(parser: argparse.ArgumentParser) -> None:
    declare_artifacts(parser)
    declare_model(parser, defaults.SIMILARITY_MODEL)
    parser.add_argument("--embeddings", action="store_true", help="add them to the JSON")
    parser.add_argument(
        "first", type=Path, metavar="FIRST", help="that the others are compared with"
    )


def _open(given: argparse.Namespace, bounds: Bounds) -> ReadyCommand:
    model = Shelf(given.artifacts).find(given.model)
    model.require_task("image-feature-extraction")
    with naming(given.first):
        data = read_file(given.first)
        first = embed(data, model, bounds=bounds)

    def ask(path: Path) -> Answer:
        other = read_file(path)
        result = similarity(first, [other], model, bounds=bounds)
        images = [each for each in (data, other) if not each.lstrip().startswith(b"{")]
        return Answer(
            model.provenance,
            result.to_json(embeddings=given.embeddings),
            (_line(result),),
            picture=(lambda: _draw(images, result, bounds)) if len(images) == 2 else None,
        )

    return ReadyCommand(ask, IMAGES)


def _draw(images: list[bytes], result: Similarity, bounds: Bounds) -> Picture:
    left, right = (decode_image(each, max_pixels=bounds.pixels) for each in images)
    return draw_pair(left, right, caption=_line(result))


def _line(result: Similarity) -> str:
    (compared,) = result.compared
    cosine = f"cosine {compared.cosine:.3f}"
    if compared.score is None:
        return f"{cosine}, uncalibrated: compare cosines with each other"
    return f"{compared.score:.2f} alike ({cosine})"


COMMAND = Command("similarity", "how alike one image and others are", _declare, _open)
