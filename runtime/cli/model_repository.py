"""The models below an artifacts directory, each loaded at its first use."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from runtime.artifact.manifest import Task, find_models, read_manifest
from runtime.errors import ArtifactError
from runtime.model import Model, load
from runtime.results import SYNTHETIC_TRAINING

CAUTIONS = {  # by the origin of the weights
    "seeded": "its answers mean nothing",
    "synthetic": SYNTHETIC_TRAINING,
}


class ModelRepository(Mapping[str, Model]):
    """Models by id. Loading one with untrained or synthetic weights prints a caution on stderr."""

    def __init__(self, artifacts: Path) -> None:
        """List the models of a directory; load none."""
        self._artifacts = artifacts
        self._directories = find_models(artifacts)
        self._models: dict[str, Model] = {}

    def __getitem__(self, model_id: str) -> Model:
        if model_id not in self._models:
            self._models[model_id] = load_with_caution(self._directories[model_id])
        return self._models[model_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._directories)

    def __len__(self) -> int:
        return len(self._directories)

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._directories  # Mapping's own method would load the model

    def find(self, model_id: str) -> Model:
        """Return the model of an id.

        Raises:
            ArtifactError: the directory has no such model, or its files are refused.
        """
        if model_id not in self:
            contents = f"it holds {', '.join(self)}" if len(self) else "it holds no model"
            raise ArtifactError(
                f"{self._artifacts} has no {model_id}: {contents}; make it: "
                f"python -m convert run {model_id}"
            )
        return self[model_id]

    def of_task(self, task: Task) -> Iterator[Model]:
        """Yield the models for a task; each is loaded when the caller asks for the next one."""
        for model_id, directory in self._directories.items():
            if read_manifest(directory).spec.task == task:
                yield self[model_id]


def load_with_caution(path: Path) -> Model:
    """Load an artifact; print a caution if its weights are untrained or synthetic.

    Raises:
        ArtifactError: the artifact is refused.
    """
    model = load(path)
    origin = model.manifest.weights.origin
    if origin in CAUTIONS:
        print(f"runtime: {model.spec.id} has {origin} weights: {CAUTIONS[origin]}", file=sys.stderr)
    return model
