"""The two files that are compared, loaded as they are served."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from convert.commands.evaluate.cases import CasesError
from runtime import load
from runtime.errors import ArtifactError
from runtime.model import Model, version_directory
from runtime.predict.prepare import Media
from runtime.results import Result


@dataclass(frozen=True, slots=True)
class Sides:
    """The float reference and what is packaged."""

    before: Model
    after: Model

    def answers(self, media: Media) -> tuple[Result, Result]:
        """What each says of one input, asked as it is served.

        Raises:
            InputError: it cannot be decoded.
        """
        return self.before.predict(media), self.after.predict(media)


def both_sides(options: argparse.Namespace) -> Sides:
    """Load what `convert evaluate` was asked about.

    Raises:
        ArtifactError: there is no such artifact, or it is not intact.
        ConvertError: the reference has to be exported again and cannot be.
    """
    named = Path(options.artifact)
    directory = version_directory(named if named.is_dir() else options.out / options.artifact)
    after = load(directory, variant=options.variant)
    if options.recipe is not None and options.checkpoint is None:
        raise CasesError("--recipe is of the export of --checkpoint, which is not given")
    if options.checkpoint is not None:
        return Sides(_exported(options, after), after)
    try:
        return Sides(load(directory, variant="float"), after)
    except ArtifactError as error:
        raise CasesError(f"{error}; --checkpoint PATH exports the reference again") from error


def _exported(options: argparse.Namespace, after: Model) -> Model:
    """The float graph of a checkpoint: the one that the artifact was made of."""
    missing = [name for name in ("onnx", "torch", "tensorflow") if find_spec(name) is None]
    if missing:
        raise CasesError(
            f"--checkpoint exports again, and {', '.join(missing)} is not installed here"
        )
    from convert import recipe
    from convert.pipeline.job import Job
    from convert.pipeline.stages import convert

    model_id = after.manifest.id
    recipe_file = recipe.read(options.recipe) if options.recipe else recipe.find(model_id)
    with tempfile.TemporaryDirectory(prefix="slipway-") as scratch:
        labels = _labels_file(Path(scratch), after.spec.labels)
        job = Job(
            recipe_file,
            Path(scratch),
            checkpoint=options.checkpoint,
            precision="float",
            labels=labels,
        )
        outcome = convert(job, lambda stage: print(f"reference: {stage}", file=sys.stderr))
        before = load(outcome.message, variant="float")
    found, wanted = before.manifest.weights.sha256, after.manifest.weights.sha256
    if found != wanted:
        raise CasesError(
            f"{options.checkpoint} has sha256 {found}; the artifact was made of {wanted}"
        )
    return before


def _labels_file(directory: Path, labels: Sequence[str]) -> Path | None:
    if not labels:
        return None
    path = directory / "labels.txt"
    path.write_text("\n".join(labels) + "\n", encoding="utf-8")
    return path
