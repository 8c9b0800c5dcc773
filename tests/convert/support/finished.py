"""Write a complete artifact of a small net with INT8 and float, by the converter's own stages."""

import json
from dataclasses import replace
from pathlib import Path

import onnx

from convert.files import sha256
from convert.gate.rule import Rule
from convert.metrics import Outputs
from convert.package import artifact as package
from convert.package.measure_variant import (
    Criteria,
    VariantName,
    measure_variant,
    time_variants,
)
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.quantize.saturation import saturating_layers
from convert.recipe import Tolerance
from convert.samples import golden
from convert.samples.sets import collate
from convert.verify.parity import run_graph
from runtime.artifact.manifest import File, Spec, TensorSpec, read_manifest
from runtime.artifact.schema import to_json
from runtime.engine.session import Feeds
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph
from tests.support.artifacts import CLASSIFIER, write_artifact

NAMES: tuple[VariantName, ...] = ("int8", "int8-7bit", "float")
TOLERANCE = Tolerance(at_most={"probability_distance": 0.4})


def write_finished(root: Path) -> Path:
    """Write a version with the variants int8, int8-7bit and float; return its directory."""
    directory = write_artifact(root / "template", CLASSIFIER)
    manifest = read_manifest(directory)
    directory = directory.rename(root / "1")
    loaded, media = nets.loaded(nets.convolutions(layers=3)), nets.sample_sets()
    spec = replace(
        manifest.spec,
        labels=loaded.labels,
        inputs=loaded.input.tensors,
        outputs=(TensorSpec("probabilities", "float32", ("N", nets.CLASSES)),),
        preprocess=loaded.preprocess,
    )

    def reference(samples: tuple[Feeds, ...]) -> Outputs:
        return collate(
            [
                loaded.head.apply(*loaded.network.forward(*loaded.input.apply(feeds["image"])))
                for feeds in samples
            ]
        )

    golden_samples = golden.write_golden(
        directory / golden.FILE, nets.recipe(TOLERANCE), loaded, reference
    )
    expected = reference(media.test)
    criteria = Criteria(spec, media, expected, golden_samples, Rule(TOLERANCE), "scene")
    variants = []
    for name in NAMES:
        path = directory / f"{name}.onnx"
        _write(path, name, spec)
        variants.append(measure_variant(name, path, run_graph(path, media.test), criteria))
    finished = replace(
        manifest,
        spec=spec,
        variants=time_variants(variants, directory, media.test[0]),
        golden=package.file_entry(directory / golden.FILE),
    )
    (directory / "manifest.json").write_text(json.dumps(to_json(finished)), encoding="utf-8")
    return directory


def _write(path: Path, name: str, spec: Spec) -> None:
    source = path.with_name("source.onnx")
    write_float_graph(nets.loaded(nets.convolutions(layers=3)), source)
    if name != "float":
        quantizer = Quantizer(onnx.load(source), nets.sample_sets().calibration)
        config = QuantizationConfig(all_op_types(), reduce_range=name == "int8-7bit")
        onnx.save(quantizer.quantize(config), source)
        assert bool(saturating_layers(source)) == (name == "int8")
    package.write_variant(source, path, spec)
    source.unlink()


def put(directory: Path, name: str, content: bytes) -> None:
    """Replace the file of a variant, and its size and hash in the manifest."""
    manifest = read_manifest(directory)
    changed = []
    for variant in manifest.variants:
        if variant.name == name:
            path = directory / variant.files[0].name
            path.write_bytes(content)
            variant = replace(variant, files=(File(path.name, sha256(path), len(content)),))
        changed.append(variant)
    text = json.dumps(to_json(replace(manifest, variants=tuple(changed))))
    (directory / "manifest.json").write_text(text, encoding="utf-8")
