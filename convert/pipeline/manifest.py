"""The spec and the manifest of a conversion, each built once."""

from collections.abc import Mapping
from dataclasses import dataclass

from convert.checkpoint import tensors_digest
from convert.package import artifact
from convert.pipeline.cache import tool_versions
from convert.pipeline.export import Exported
from convert.pipeline.job import Inputs
from convert.pipeline.load import Reference
from convert.quantize.choose import Choice
from runtime.artifact.manifest import (
    SCHEMA_VERSION,
    File,
    Manifest,
    SimilarityScale,
    Spec,
    Variant,
    Weights,
)

ONNXRUNTIME_MINIMUM = "1.18.0"  # the first to read convert.export.graph.surgery.IR_VERSION
ONNXRUNTIME_PACKED = "1.21.0"  # the first to read weights that are packed in a file


@dataclass(frozen=True, slots=True)
class Verified:
    """The files of one version, each measured as it will serve."""

    variants: tuple[Variant, ...]  # best first
    contents: tuple[str, ...]  # by variant, the SHA-256 of its graph and weights in one file
    seven_bits: str  # why the variant with 7-bit weights is packaged, or why not
    float16: str  # why the variant for GPUs is packaged, or why not; "" if nobody asked for it
    golden: File
    assets: Mapping[str, File]  # by role


def build_spec(
    model_id: str, reference: Reference, exported: Exported, scale: SimilarityScale | None
) -> Spec:
    """Describe the graph: what it takes, what it answers, and what the runtime does around it."""
    recipe, loaded = reference.recipe, reference.loaded
    return Spec(
        schema_version=SCHEMA_VERSION,
        id=model_id,
        task=loaded.task or recipe.task,
        description=recipe.description,
        labels=loaded.labels,
        inputs=loaded.input.tensors,
        outputs=exported.tensors,
        preprocess=loaded.preprocess,
        licence=loaded.licence or recipe.licence,
        suppression=loaded.suppression,
        similarity=scale,
    )


def build_manifest(
    inputs: Inputs,
    spec: Spec,
    reference: Reference,
    exported: Exported,
    choice: Choice,
    verified: Verified,
) -> Manifest:
    """Describe the version; its digest covers what decides the answers, and no timings."""
    weights = inputs.weights
    weights_sha256 = tensors_digest(reference.loaded.network.weights())
    identity = {
        "weights": weights_sha256,
        "spec": spec,
        "recipe": inputs.recipe_sha256,
        "origin": weights.origin,
        "choice": choice.settings,
        "calibration": reference.samples.source,
        "files": verified.contents,  # the answers do not depend on where the weights are
        "assets": {role: file.sha256 for role, file in verified.assets.items()},
    }
    assumptions = reference.loaded.assumptions
    if assumptions:  # a fact that the user states replaces one that was assumed: a new version
        identity["assumptions"] = assumptions
    file_name = weights.path.name if weights.path else "numpy generator, untrained"
    return Manifest(
        schema_version=SCHEMA_VERSION,
        id=spec.id,
        version=artifact.next_version(inputs.out, spec.id),
        digest=artifact.json_digest(identity),
        spec=spec,
        variants=verified.variants,
        golden=verified.golden,
        weights=Weights(
            weights.origin,
            weights.address or file_name,
            inputs.checkpoint_sha256 or weights_sha256,
        ),
        recipe_sha256=inputs.recipe_sha256,
        calibration=reference.samples.source,
        choice={
            **choice.settings,
            "reason": choice.reason,
            **choice.verdict,
            "seven_bits": verified.seven_bits,
            **({"float16": verified.float16} if verified.float16 else {}),
        },
        candidates=choice.candidates,
        parity=exported.parity,
        tools=tool_versions(),
        onnxruntime_minimum=_onnxruntime_minimum(choice, verified),
        assets=verified.assets,
        assumptions=assumptions,
    )


def _onnxruntime_minimum(choice: Choice, verified: Verified) -> str:
    """Return the oldest onnxruntime that reads every variant."""
    minima = [choice.settings.get("onnxruntime_minimum", ONNXRUNTIME_MINIMUM)]
    if any(len(variant.files) > 1 for variant in verified.variants):
        minima.append(ONNXRUNTIME_PACKED)
    return max(minima, key=lambda version: [int(part) for part in version.split(".")])
