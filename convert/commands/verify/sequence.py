"""Run the checks of an artifact in order: files that are not intact are never run."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import onnxruntime

from convert.commands.verify import measures
from convert.commands.verify.check import Check, Report, pass_or_fail
from convert.commands.verify.inputs import generate_samples, read_samples
from convert.samples.sets import Samples
from runtime import load
from runtime.artifact.golden import Golden, read_golden
from runtime.artifact.manifest import Manifest, Variant, read_manifest, verify_file
from runtime.artifact.signature import (
    Signature,
    TrustedKeys,
    is_installed,
    key_text,
    read_signatures,
)
from runtime.engine.resources import cpu_features
from runtime.errors import ArtifactError, one_line
from runtime.model import Model, choose_variant


def verify_artifact(
    directory: Path, media: Path | None = None, *, signers: Sequence[bytes] = ()
) -> Report:
    """Verify one version again.

    Args:
        directory: artifacts/<model>/<version>.
        media: directory of files like those it will serve; None: synthetic samples.
        signers: public keys, one of which must have signed the version; none: it need not be.

    Raises:
        CalibrationError: `media` holds no file that can be read.
    """
    return Report(str(directory), (*_signature(directory, signers), *_checks(directory, media)))


def _signature(directory: Path, signers: Sequence[bytes]) -> Iterator[Check]:
    """Yield the check of the signature, if there is one or has to be."""
    trusted = TrustedKeys(tuple(signers))
    try:
        trusted.check_library()
        signatures = read_signatures(directory)
        names = ", ".join(key_text(signature.key) for signature in signatures)
        if signers:
            read_manifest(directory, partial(trusted.check, directory))
            yield pass_or_fail("signature", "", f"signed by {names}")
        elif signatures and is_installed():
            read_manifest(directory, partial(_check_fit, signatures))
            yield Check("signature", "told", f"signed by {names}; no trusted key is named")
        elif signatures:
            yield Check("signature", "told", f"signed by {names}; PyNaCl, to check it, is absent")
    except ArtifactError as error:
        yield Check("signature", "failed", str(error))


def _check_fit(signatures: Sequence[Signature], manifest: bytes) -> None:
    for signature in signatures:
        if not signature.fits(manifest):
            raise ArtifactError(f"the signature of {key_text(signature.key)} does not fit")


def _checks(directory: Path, media: Path | None) -> Iterator[Check]:
    try:
        manifest = read_manifest(directory)
        for file in manifest.files:
            verify_file(directory, file)
        yield pass_or_fail("files", "", _file_sizes(manifest))
        served_variant = choose_variant(manifest, cpu_features())
        models = {v.name: load(directory, variant=v.name) for v in manifest.variants}
        golden = read_golden(directory, manifest)
    except ArtifactError as error:
        yield Check("files", "failed", str(error))
        return
    yield pass_or_fail("spec", "", "the same in the manifest and in each graph")
    yield _check_onnxruntime(manifest)
    reason = selection_reason(manifest, served_variant, cpu_features())
    yield Check("variant", "told", reason, served_variant.name)
    served = models[served_variant.name]
    samples = read_samples(served, media) if media is not None else generate_samples(served)
    yield from _measurements(directory, models, served, golden, samples, synthetic=media is None)


def _measurements(
    directory: Path,
    models: dict[str, Model],
    served: Model,
    golden: Golden,
    samples: Samples,
    *,
    synthetic: bool,
) -> Iterator[Check]:
    yield from _guard("golden media", served, measures.check_golden_media(golden, served))
    plain = next((m for m in models.values() if m.variant.precision == "float"), None)
    for name, model in models.items():
        if not model.variant.runs_on(cpu_features()):
            yield Check("not measured", "told", "for other CPUs than this one", name)
            continue
        checks = {
            "golden outputs": measures.check_golden_outputs(directory, golden, model),
            "integer operators": measures.check_integer_operators(directory, model),
            "batches": measures.check_batches(directory, model, samples),
            "memory": measures.check_memory(directory, model, samples[0]),
        }
        if plain is not None and model is not plain:
            checks["fidelity"] = measures.check_fidelity(
                directory, model, plain, samples, synthetic=synthetic
            )
        for check_name, results in checks.items():
            yield from _guard(check_name, model, results)
    batch_times = measures.tell_batch_times(directory, served, samples[0])
    yield from _guard("batch times", served, batch_times)
    if plain is None:
        yield Check("fidelity, speed", "told", "there is no float variant to compare with")
        return
    speed = measures.check_speed(directory, served, plain, samples[0])
    yield from _guard("speed", served, speed)


def _guard(name: str, model: Model, checks: Iterator[Check]) -> Iterator[Check]:
    """Yield the checks; turn an exception in one of them into a failed check."""
    try:
        yield from checks
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        text = f"{type(error).__name__}: {one_line(error)}"
        yield Check(name, "failed", text, model.variant.name)


def selection_reason(manifest: Manifest, variant: Variant, features: frozenset[str]) -> str:
    """Return why a CPU gets a variant: its features, and those that better variants need."""
    better = manifest.variants[: manifest.variants.index(variant)]
    unmet = [f"{v.name} needs one of {', '.join(v.cpu_features)}" for v in better]
    present = sorted(features.intersection(variant.cpu_features))
    reason = f"this CPU has {', '.join(present)}" if present else "it runs on any CPU"
    return "; ".join([reason, *unmet])


def _file_sizes(manifest: Manifest) -> str:
    megabytes = sum(file.size_bytes for file in manifest.files) / 1e6
    return f"{len(manifest.files)} with the hashes of the manifest, {megabytes:.1f} MB"


def _check_onnxruntime(manifest: Manifest) -> Check:
    converter, here = manifest.tools.get("onnxruntime", "unknown"), onnxruntime.__version__
    minimum = manifest.onnxruntime_minimum
    problem = f"{here} < {minimum}" if _numbers(here) < _numbers(minimum) else ""
    return pass_or_fail(
        "onnxruntime", problem, f"{here}; made with {converter}; at least {minimum}"
    )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:3] if part.isdigit()]
