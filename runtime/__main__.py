"""Command line of the runtime: `python -m runtime run ARTIFACT_DIR FILE [FILE ...] [--json]`."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runtime.allocator import tune_allocator
from runtime.errors import SlipwayError
from runtime.model import Model, load
from runtime.results import Detections, Result

CAUTIONS = {  # by the origin of the weights
    "seeded": "its answers mean nothing",
    "synthetic": "trained on drawings, not a medical device",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code: 1 when any file, or the artifact, was refused."""
    options = _parser().parse_args(arguments)
    tune_allocator()
    try:
        model = load(options.artifact)
    except SlipwayError as error:
        print(f"runtime: {error}", file=sys.stderr)
        return 1
    origin = model.manifest.weights.origin
    if origin in CAUTIONS:
        print(f"runtime: {model.spec.id} has {origin} weights: {CAUTIONS[origin]}", file=sys.stderr)
    refused = 0
    for path in options.files:
        try:
            result = model.predict(path.read_bytes(), condition=options.condition)
        except (SlipwayError, OSError, ArithmeticError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            print(f"runtime: {path}: {reason}", file=sys.stderr)
            refused += 1
            continue
        print(_json_line(path, model, result) if options.json else _text(path, result), flush=True)
    return 1 if refused else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runtime", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="what a model says of images, sounds, clips or texts")
    run.add_argument(
        "artifact", type=Path, metavar="ARTIFACT_DIR", help="artifacts/<model>[/<version>]"
    )
    run.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="as the model's task says: JPEG, PNG, WebP, BMP, GIF; WAV, FLAC, Ogg, MP3; "
        "MP4, MOV, WebM, Matroska, AVI; UTF-8 text",
    )
    run.add_argument("--condition", help="of the person in a clip, by a name the model knows")
    run.add_argument("--json", action="store_true", help="one JSON object a line, in full")
    return parser


def _json_line(path: Path, model: Model, result: Result) -> str:
    manifest = model.manifest
    facts = {
        "file": str(path),
        "model": manifest.id,
        "version": manifest.version,
        "digest": manifest.digest,
        "variant": model.variant.name,
        "weights": manifest.weights.origin,
    }
    return json.dumps({**facts, "result": result.to_json()})


def _text(path: Path, result: Result) -> str:
    """The answer on one line, long lists cut; a line more for each detection."""
    if isinstance(result, Detections):
        return "\n".join([f"{path}: {len(result.scores)} found", *_detection_lines(result)])
    facts = (f"{name} {_short(value)}" for name, value in result.to_json().items())
    return f"{path}: {', '.join(facts)}"


def _detection_lines(result: Detections) -> Iterator[str]:
    for found in result.to_json()["detections"]:
        box = " ".join(f"{name}={value:.1f}" for name, value in found["box"].items())
        yield f"  {found['label']} {found['score']:.4f} {box}"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list):
        return f"[{', '.join(_short(item) for item in value[:4])}, ...]"
    if isinstance(value, dict):
        return " ".join(f"{name}={_short(item)}" for name, item in value.items())
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
