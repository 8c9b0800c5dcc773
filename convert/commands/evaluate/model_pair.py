"""Load the two models to compare, as they are served."""

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
class ModelPair:
    """The float reference (before) and a packaged variant (after)."""

    before: Model
    after: Model

    def predict(self, media: Media) -> tuple[Result, Result]:
        """Return both models' results for one input, decoded and prepared as they are served.

        Raises:
            InputError: it cannot be decoded.
        """
        return self.before.predict(media), self.after.predict(media)


def load_models(options: argparse.Namespace) -> ModelPair:
    """Load the models that the options of `convert evaluate` name.

    Raises:
        ArtifactError: there is no such artifact, or it is not intact.
        ConvertError: the reference has to be exported again and cannot be.
    """
    path = Path(options.artifact)
    is_id = len(path.parts) == 1 and not path.is_dir()
    directory = version_directory(options.out / path if is_id else path)
    after = load(directory, variant=options.variant)
    if options.recipe is not None and options.checkpoint is None:
        raise CasesError("--recipe is used with --checkpoint only; --checkpoint is missing")
    if options.checkpoint is not None:
        return ModelPair(_export_reference(options, after), after)
    try:
        return ModelPair(load(directory, variant="float"), after)
    except ArtifactError as error:
        raise CasesError(f"{error}; --checkpoint PATH exports the reference again") from error


def _export_reference(options: argparse.Namespace, after: Model) -> Model:
    """Export the float graph of the checkpoint that the artifact was made from.

    Raises:
        CasesError: packages are missing, or the artifact was made from another checkpoint.
        ConvertError: the export fails.
    """
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
        labels = _write_labels(Path(scratch), after.spec.labels)
        job = Job(
            recipe_file,
            Path(scratch),
            checkpoint=options.checkpoint,
            precision="float",
            labels=labels,
            options={
                fact.name: fact.value
                for fact in after.manifest.assumptions
                if fact.origin == "option"
            },
        )
        outcome = convert(job, lambda stage: print(f"reference: {stage}", file=sys.stderr))
        before = load(outcome.message, variant="float")
    actual, expected = before.manifest.weights.sha256, after.manifest.weights.sha256
    if actual != expected:
        raise CasesError(
            f"{options.checkpoint} has sha256 {actual}; the artifact was made from {expected}"
        )
    return before


def _write_labels(directory: Path, labels: Sequence[str]) -> Path | None:
    if not labels:
        return None
    path = directory / "labels.txt"
    path.write_text("\n".join(labels) + "\n", encoding="utf-8")
    return path
