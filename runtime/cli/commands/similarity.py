"""`similarity`: how similar one image and others are."""

import argparse
from pathlib import Path

from runtime.arrays import Image
from runtime.cli.command import Answer, Command, ReadyCommand
from runtime.cli.files import error_context, read_file
from runtime.cli.model_repository import ModelRepository
from runtime.cli.options import add_artifacts_option, add_model_option
from runtime.draw import draw_pair
from runtime.media.images.decode import decode_image
from runtime.media.suffixes import IMAGES
from runtime.predict.prepare import Bounds
from runtime.tasks import defaults
from runtime.tasks.similarity import Similarity, embed, similarity


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_artifacts_option(parser)
    add_model_option(parser, defaults.SIMILARITY_MODEL)
    parser.add_argument(
        "--embeddings", action="store_true", help="with --json: add the embeddings to the answer"
    )
    parser.add_argument(
        "first",
        type=Path,
        metavar="FIRST",
        help="image that each FILE is compared with; it and they may also be embeddings from "
        "earlier answers, as JSON files",
    )


def _prepare(options: argparse.Namespace, bounds: Bounds) -> ReadyCommand:
    model = ModelRepository(options.artifacts).find(options.model)
    model.require_task("image-feature-extraction")
    with error_context(options.first):
        first_data = read_file(options.first)
        first = embed(first_data, model, bounds=bounds)

    def answer(path: Path) -> Answer:
        data = read_file(path)
        result = similarity(first, [data], model, bounds=bounds)
        images = [file for file in (first_data, data) if not file.lstrip().startswith(b"{")]
        return Answer(
            model.provenance,
            result.to_json(embeddings=options.embeddings),
            (_format(result),),
            result.warnings,
            picture=(lambda: _draw(images, result, bounds)) if len(images) == 2 else None,
        )

    return ReadyCommand(answer, IMAGES)


def _draw(images: list[bytes], result: Similarity, bounds: Bounds) -> Image:
    left, right = (decode_image(image, max_pixels=bounds.pixels) for image in images)
    return draw_pair(left, right, caption=_format(result))


def _format(result: Similarity) -> str:
    (comparison,) = result.compared
    cosine = f"cosine {comparison.cosine:.3f}"
    if comparison.score is None:
        return f"{cosine}, uncalibrated: compare cosines with each other"
    return f"{comparison.score:.2f} alike ({cosine})"


COMMAND = Command(
    "similarity", "Compare images with a first one: how similar are they?", _add_options, _prepare
)
