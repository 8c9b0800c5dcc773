"""Load a version and show that it answers as it did when it was converted."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from runtime import Model, load
from runtime.artifact.golden import read_golden
from runtime.artifact.golden_check import check_outputs
from runtime.artifact.signature import TrustedKeys
from runtime.engine.allocator import release_free_memory
from runtime.engine.providers import CPU, Provider
from runtime.engine.session import OnnxruntimeError, SessionOptions
from runtime.errors import ArtifactError, ProviderError, one_line
from serve.repository.scan import Version

Load = Callable[[Version], Model]  # raises ArtifactError; UnavailableError if there is no room


def load_version(
    version: Version,
    *,
    threads: int,
    providers: Sequence[Provider] = (CPU,),
    trusted: TrustedKeys | None = None,
) -> Model:
    """Load a version with the first provider that answers its golden sample as verified.

    The run on that sample is the warm-up too.

    Args:
        version: from `list_models`.
        threads: of onnxruntime within one run.
        providers: in the order of preference; the last one is the CPU's.
        trusted: the keys that may have signed it, which is checked once more: a lazy model loads
            long after it was listed. None: it need not be signed.

    Returns:
        The model; its notes say why each provider before its own is not used.

    Raises:
        ArtifactError: a file is not the one that the manifest names, or the outputs differ from the
            golden ones by more than when the version was verified, also on the CPU.
    """
    reasons = []
    for provider in providers[:-1]:
        try:
            model = _load(version, SessionOptions(threads=threads, provider=provider), trusted)
        except ProviderError as error:
            reasons.append(f"not on {provider.name}: {error}")
        else:
            return replace(model, notes=(*reasons, *model.notes))
    model = _load(version, SessionOptions(threads=threads, provider=providers[-1]), trusted)
    return replace(model, notes=(*reasons, *model.notes))


def _load(version: Version, options: SessionOptions, trusted: TrustedKeys | None) -> Model:
    """Load a version and compare its answer with the golden one.

    Raises:
        ArtifactError: as for `load_version`.
        ProviderError: a provider other than the CPU's does not run it, or answers otherwise.
    """
    model = load(version.directory, options=options, trusted=trusted)
    if model.manifest.digest != version.manifest.digest:
        raise ArtifactError(
            f"{version.directory} is another version than when the directory was read; SIGHUP, or "
            "POST /v1/routing/reload, reads it again"
        )
    release_free_memory()  # the first run would else seem to take less
    golden = read_golden(version.directory, version.manifest)
    error_type = ArtifactError if options.provider == CPU else ProviderError
    try:
        outputs = model.run(golden.feeds(0))
    except OnnxruntimeError as error:
        raise error_type(f"{version.directory} does not run: {one_line(error)}") from error
    for check in check_outputs(golden, model.variant.verification, outputs):
        if not check.passes:
            raise error_type(f"{version.directory}, {model.variant.name}: golden output {check}")
    return model
