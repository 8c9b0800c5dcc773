"""Which files of a conversion are packaged: one for each kind of CPU, and float."""

from collections.abc import Callable
from pathlib import Path

from convert.errors import VerificationError
from convert.package.measure_variant import INT8_CPU_FEATURES, VariantName
from convert.quantize.choose import Choice
from runtime.artifact.manifest import Variant


def write_variants(
    choice: Choice, float_path: Path, write: Callable[[VariantName, Path], Variant]
) -> tuple[tuple[Variant, ...], str]:
    """What is packaged, best first, and what became of the weights in 7 bits.

    Beside INT8 whose products may saturate stands the same with weights of 7 bits, which never do,
    where it keeps the tolerance; where it does not, CPUs without VNNI get float.

    Args:
        choice: what is to be packaged.
        float_path: the float graph.
        write: puts a graph into the artifact and measures it.

    Raises:
        VerificationError: from `write`, of the float or the 8-bit variant.
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
