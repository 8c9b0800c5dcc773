"""The models below an artifacts directory, each loaded when it is first asked for."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from runtime.artifact.manifest import Task, find_models, read_manifest
from runtime.errors import ArtifactError
from runtime.model import Model, load

CAUTIONS = {  # by the origin of the weights
    "seeded": "its answers mean nothing",
    "synthetic": "trained on drawings, not a medical device",
}


class Shelf(Mapping[str, Model]):
    """Models by id. What their weights are is told on stderr, once for each."""

    def __init__(self, artifacts: Path) -> None:
        """Look into a directory; nothing is loaded."""
        self._artifacts = artifacts
        self._directories = find_models(artifacts)
        self._loaded: dict[str, Model] = {}

    def __getitem__(self, model_id: str) -> Model:
        if model_id not in self._loaded:
            self._loaded[model_id] = loaded(self._directories[model_id])
        return self._loaded[model_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._directories)

    def __len__(self) -> int:
        return len(self._directories)

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._directories  # Mapping's own would load it

    def find(self, model_id: str) -> Model:
        """The model of that id.

        Raises:
            ArtifactError: there is none, or it is refused.
        """
        if model_id not in self:
            known = f"it holds {', '.join(self)}" if len(self) else "it holds no model"
            raise ArtifactError(
                f"{self._artifacts} has no {model_id}: {known}; make it: "
                f"python -m convert run {model_id}"
            )
        return self[model_id]

    def of_task(self, task: Task) -> Iterator[Model]:
        """The models of a task, each loaded when its turn comes."""
        for model_id, directory in self._directories.items():
            if read_manifest(directory).spec.task == task:
                yield self[model_id]


def loaded(path: Path) -> Model:
    """Load one artifact, and say what its weights are where they are not trained on people.

    Raises:
        ArtifactError: it is refused.
    """
    model = load(path)
    origin = model.manifest.weights.origin
    if origin in CAUTIONS:
        print(f"runtime: {model.spec.id} has {origin} weights: {CAUTIONS[origin]}", file=sys.stderr)
    return model
