"""Load a version and show that it answers as it did when it was converted."""

from runtime import Model, load
from runtime.artifact.golden import read_golden
from runtime.artifact.golden_check import check_outputs
from runtime.engine.session import SessionOptions
from runtime.errors import ArtifactError
from serve.repository.scan import Version


def load_version(version: Version, *, threads: int) -> Model:
    """Load a version, and run it once on its first golden sample: warm-up and check in one.

    Args:
        version: from `list_models`.
        threads: of onnxruntime within one run.

    Raises:
        ArtifactError: a file is not the one that the manifest names, or the outputs differ from the
            golden ones by more than when the version was verified.
    """
    model = load(version.directory, options=SessionOptions(threads=threads))
    golden = read_golden(version.directory, version.manifest)
    outputs = model.run(golden.feeds(0))
    for check in check_outputs(golden, model.variant.verification, outputs):
        if not check.passes:
            raise ArtifactError(f"{version.directory}, {model.variant.name}: golden output {check}")
    return model
