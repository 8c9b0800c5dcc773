"""The stage "verify": each packaged file is measured as it will serve."""

from collections.abc import Sequence
from pathlib import Path

from convert.fidelity.intervals import look_confidence
from convert.gate.rule import Rule
from convert.package import artifact
from convert.package.mapped_weights import map_weights
from convert.package.measure_variant import Criteria, VariantName, measure_variant, time_variants
from convert.package.variants import write_gpu_variant, write_variants
from convert.pipeline.export import Exported
from convert.pipeline.load import Reference
from convert.pipeline.manifest import Verified
from convert.quantize.choose import Choice
from convert.samples import golden
from convert.verify.parity import run_graph
from runtime.artifact.manifest import Spec, Variant


def verify(
    reference: Reference,
    spec: Spec,
    exported: Exported,
    choice: Choice,
    rule: Rule | None,
    scratch: Path,
    further: Sequence[str] = (),
) -> Verified:
    """Write every file of the version into `scratch` and measure the variants.

    Args:
        reference: the network in its framework.
        spec: as inside each file.
        exported: the float graph.
        choice: the quantized graphs.
        rule: the bounds that decide; None: untrained weights, whose fidelity is reported only.
        scratch: receives the files.
        further: names of variants to write besides those for CPUs: "fp16".

    Raises:
        VerificationError: the float or the INT8 file is outside the tolerance, or computes
            otherwise than its name says.
    """
    recipe, samples = reference.recipe, reference.samples
    golden_path = scratch / golden.FILE
    golden_set = golden.write_golden(golden_path, recipe, reference.loaded, reference.answer)

    confidence = look_confidence(choice.look)
    criteria = Criteria(
        spec, samples, exported.reference, golden_set, rule, recipe.media, confidence
    )

    contents = dict[str, str]()

    def write(name: VariantName, source: Path) -> Variant:
        path = scratch / f"{name}.onnx"
        artifact.write_variant(source, path, spec)
        contents[name] = artifact.file_entry(path).sha256
        # a GPU gets a copy of the weights
        layout = map_weights(path, samples.test[0]) if name != "fp16" else None
        run = exported.run if name == "float" else run_graph(path, samples.test)
        return measure_variant(name, path, run, criteria, layout)

    variants, seven_bits = write_variants(choice, exported.run.path, write)
    float16 = ""
    if "fp16" in further:
        for_gpus, float16 = write_gpu_variant(exported.run.path, write)
        variants = (*variants, *for_gpus)
    return Verified(
        variants=time_variants(variants, scratch, samples.test[0]),
        contents=tuple(contents[variant.name] for variant in variants),
        seven_bits=seven_bits,
        float16=float16,
        golden=artifact.file_entry(golden_path),
        assets=artifact.write_assets(scratch, reference.loaded.assets),
    )
