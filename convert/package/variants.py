"""The variants of a version: one for each kind of CPU, float, and on request one for GPUs."""

from collections.abc import Callable
from pathlib import Path

from convert.errors import VerificationError
from convert.package.half_precision import write_float16
from convert.package.measure_variant import INT8_CPU_FEATURES, VariantName
from convert.quantize.choose import Choice
from runtime.artifact.manifest import Variant


def write_variants(
    choice: Choice, float_path: Path, write: Callable[[VariantName, Path], Variant]
) -> tuple[tuple[Variant, ...], str]:
    """Write every variant of a version.

    Where products of the INT8 variant may saturate on CPUs without VNNI, these CPUs get the same
    graph with weights of 7 bits, which never saturate. Where that misses the tolerance they get
    float.

    Args:
        choice: the quantized graphs.
        float_path: the float graph.
        write: copies a graph into the version and measures it.

    Returns:
        variants: best first.
        remark: why the 7-bit variant is packaged, or why not.

    Raises:
        VerificationError: from `write`, for the float or the 8-bit variant.
    """
    plain = write("float", float_path)
    if choice.int8 is None:
        return (plain,), "float serves"
    best = write("int8", choice.int8)
    if best.cpu_features != INT8_CPU_FEATURES:
        return (best, plain), "not needed: no product of the INT8 variant saturates"
    if choice.int8_7bit is None:
        return (best, plain), "not packaged: products saturate all the same"
    try:
        reduced = write("int8-7bit", choice.int8_7bit)
    except VerificationError as error:
        return (best, plain), f"not packaged: {error}"
    return (best, reduced, plain), "packaged"


def write_gpu_variant(
    float_path: Path, write: Callable[[VariantName, Path], Variant]
) -> tuple[tuple[Variant, ...], str]:
    """Write the float16 variant, which no CPU chooses.

    Args:
        float_path: the float graph; `float16.onnx` appears beside it.
        write: copies a graph into the version and measures it, on the CPU.

    Returns:
        variants: the variant, or none if it is outside the tolerance.
        remark: why it is packaged, or why not.
    """
    path = float_path.with_name("float16.onnx")
    write_float16(float_path, path)
    try:
        variant = write("fp16", path)
    except VerificationError as error:
        return (), f"not packaged: {error}"
    return (variant,), "packaged; its speed is unverified: not measured on a GPU"
