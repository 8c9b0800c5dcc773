"""What 8-bit products lose on x86 without VNNI: which layers can, and by how much they do.

There onnxruntime multiplies four UINT8 activations by four INT8 weights at a time: each of two
neighbouring products is summed to 16 bits, which saturate (VPMADDUBSW), and those sums to 32 bits.
VNNI, AMX and ARM's dot product sum in 32 bits. Depthwise convolutions, products of two activations
and MatMulNBits do not go this way. `products` is that arithmetic, equal to the last bit to
onnxruntime 1.31 on an AVX2 and an AVX-512 machine without VNNI; `layers` finds where it applies.
"""

from convert.quantize.saturation.layers import Layer, integer_layers, saturating_layers
from convert.quantize.saturation.products import Products, exact, may_saturate, saturated

__all__ = [
    "Layer",
    "Products",
    "exact",
    "integer_layers",
    "may_saturate",
    "saturated",
    "saturating_layers",
]
