"""A quantization configuration under the names of manifest.json and of the artifact's digest.

These names are an interface: renaming one would change the digest of every artifact.
"""

from collections.abc import Mapping
from typing import Any

from convert.quantize.learn.learned import Learned
from convert.quantize.passes.matmul_nbits import ONNXRUNTIME_MINIMUM
from convert.quantize.quantizer import QuantizationConfig
from convert.quantize.search.candidates import operator_set_name

# refinements by manifest field, in the words of the report
REFINEMENTS: Mapping[str, str] = {
    "corrected": "corrected",
    "equalised": "equalised",
    "smoothed": "smoothed",
    "learned": "learned",
    "shared": "one range for what is joined",
    "reduce_range": "weights that never saturate",
    "stored": "float layers stored in 8 bits",
}


def config_fields(config: QuantizationConfig) -> dict[str, Any]:
    """Return the fields of a candidate in the manifest; `float_nodes` is a number there."""
    # absent where it is not done: the digests of earlier artifacts do not have it
    smoothed = {"smoothed": True} if config.smoothing else {}
    learned = {"learned": "layers"} if config.learned else {}
    shared = {"shared": True} if config.shared_ranges else {}
    return {
        "float_nodes": len(config.float_nodes),
        "ranges": config.ranges,
        "corrected": config.bias_correction,
        "equalised": config.cross_layer_equalization,
        **smoothed,
        **learned,
        **shared,
        "reduce_range": config.reduce_range,
        "stored": config.weight_only_int8,
    }


def choice_fields(config: QuantizationConfig, learned: Learned | None) -> dict[str, Any]:
    """Return the fields of the packaged configuration, which are part of the artifact's digest.

    Args:
        config: of the packaged file.
        learned: what is in the file; None: nothing.
    """
    needs_nbits = config.matmul_mode in ("nbits", "mixed")
    requirement = {"onnxruntime_minimum": ONNXRUNTIME_MINIMUM} if needs_nbits else {}
    return {
        "precision": "int8",
        "operators": operator_set_name(config),
        **config_fields(config),
        "float_nodes": sorted(config.float_nodes),
        **({"learned_digest": learned.digest} if learned else {}),
        **requirement,
    }


def describe_config(config: QuantizationConfig) -> str:
    """Describe a configuration in the words of the report."""
    fields = config_fields(config)
    parts = [operator_set_name(config), f"{config.ranges} ranges"]
    parts += [words for field, words in REFINEMENTS.items() if fields.get(field)]
    parts += [f"{len(config.float_nodes)} nodes in float"] if config.float_nodes else []
    return ", ".join(parts)
