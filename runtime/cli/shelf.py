"""The models below an artifacts directory, each loaded when it is first asked for."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from runtime.artifact.manifest import Task, read_manifest, versions
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
        entries = sorted(artifacts.iterdir()) if artifacts.is_dir() else []
        self._ids = tuple(e.name for e in entries if not e.name.startswith(".") and versions(e))
        self._loaded: dict[str, Model] = {}

    def __getitem__(self, model_id: str) -> Model:
        if model_id not in self._loaded:
            if model_id not in self._ids:
                raise KeyError(model_id)
            self._loaded[model_id] = loaded(self._artifacts / model_id)
        return self._loaded[model_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._ids  # Mapping's own would load it

    def find(self, model_id: str) -> Model:
        """The model of that id.

        Raises:
            ArtifactError: there is none, or it is refused.
        """
        if model_id not in self._ids:
            known = f"it holds {', '.join(self._ids)}" if self._ids else "it holds no model"
            raise ArtifactError(
                f"{self._artifacts} has no {model_id}: {known}; make it: "
                f"python -m convert run {model_id}"
            )
        return self[model_id]

    def of_task(self, task: Task) -> Iterator[Model]:
        """The models of a task, each loaded when its turn comes."""
        for model_id in self._ids:
            newest = versions(self._artifacts / model_id)[-1]
            if read_manifest(newest).spec.task == task:
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
