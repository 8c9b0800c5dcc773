"""Models that several tests of tasks share."""

from collections.abc import Mapping

import pytest

from runtime import Model, load
from tests.support.artifacts import (
    CLASSIFIER,
    EMBEDDING,
    EMOTION_BOXES,
    EMOTIONS,
    FACES,
    OTHER_EMOTIONS,
    TENSORS,
    write_artifact,
)


@pytest.fixture(scope="package")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Model]:
    """Load a face detector, models of emotions, and models that cannot vote on one; by id."""
    root = tmp_path_factory.mktemp("faces")
    graphs = (FACES, EMOTION_BOXES, EMOTIONS, OTHER_EMOTIONS, CLASSIFIER, EMBEDDING, TENSORS)
    models = [load(write_artifact(root, graph)) for graph in graphs]
    return {model.spec.id: model for model in models}
