"""Saturation of 8-bit products on x86 CPUs without VNNI, and weights that avoid it.

On these CPUs onnxruntime multiplies four UINT8 activations by four INT8 weights at a time: it adds
two neighbouring products in 16 bits, which saturate (VPMADDUBSW), and those sums in 32 bits. VNNI,
AMX and ARM's dot product add in 32 bits. Depthwise convolutions, products of two activations and
MatMulNBits do not use this instruction. tests/convert/support/u8s8.py has the same arithmetic in
numpy, equal to the last bit to onnxruntime 1.31 on an AVX2 and an AVX-512 machine without VNNI.
"""

from convert.quantize.saturation.layers import (
    IntegerLayer,
    integer_layers,
    may_saturate,
    saturating_layers,
)

__all__ = ["IntegerLayer", "integer_layers", "may_saturate", "saturating_layers"]
