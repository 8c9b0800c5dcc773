"""The assets of a version, which it holds next to its graph; read when the model is loaded."""

from dataclasses import dataclass
from pathlib import Path

from runtime.artifact.conditions import Conditions, read_conditions
from runtime.artifact.manifest import CONDITIONS, VOCABULARY, Manifest, Spec, Tokenize, verify_file
from runtime.errors import ArtifactError
from runtime.media.text.wordpiece import WordPiece, read_vocabulary


@dataclass(frozen=True, slots=True)
class Assets:
    """The vocabulary and the conditions of a version, if its task needs them."""

    tokenizer: WordPiece | None = None  # for sentence-similarity; None for every other task
    conditions: Conditions | None = None  # for video-classification; None: no known conditions


def load_assets(directory: Path, manifest: Manifest) -> Assets:
    """Read and check the assets that a manifest lists.

    Raises:
        ArtifactError: an asset is missing, differs from its hash, or has another format.
    """
    paths = {role: verify_file(directory, file) for role, file in manifest.assets.items()}
    tokenizer, conditions = None, None
    if VOCABULARY in paths:
        tokenizer = _tokenizer(paths[VOCABULARY], manifest.spec)
    if CONDITIONS in paths:
        path, width = paths[CONDITIONS], manifest.spec.inputs[-1].shape[-1]
        if not isinstance(width, int):
            raise ArtifactError(f"{path}: the graph's condition has no fixed width")
        conditions = read_conditions(path.read_bytes(), str(path), width=width)
    return Assets(tokenizer, conditions)


def _tokenizer(path: Path, spec: Spec) -> WordPiece:
    (step,) = spec.preprocess
    assert isinstance(step, Tokenize)  # read_manifest refuses any other step
    return WordPiece(read_vocabulary(path.read_bytes(), str(path)), step.lowercase)
