"""Export of Keras models with tf2onnx."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from convert.errors import ConvertError
from convert.export.graph.opset import OPSET, require_standard_operators
from convert.export.graph.surgery import free_batch, scale_resizes
from runtime.errors import one_line


def export_call(call: Callable[[Any], Any], shape: tuple[int, int, int]) -> onnx.ModelProto:
    """Trace a function of one image and convert the trace.

    Args:
        call: maps a (N, H, W, C) float32 tensor to the raw output.
        shape: (H, W, C).

    Returns:
        Graph at OPSET from (N, C, H, W); the batch axis may have any size.

    Raises:
        ConvertError: a layer has no ONNX form.
    """
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, *shape), tf.float32, name="x")]
    function = tf.function(call, input_signature=signature)
    # operators without an ONNX form are logged, one a line, and left in the graph: checked below
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        # from_function: from_keras fails on Sequential models of Keras 3
        model, _ = tf2onnx.convert.from_function(
            function,
            input_signature=signature,
            opset=OPSET,
            inputs_as_nchw=["x"],
            custom_op_handlers={"Erfc": (_erfc, [])},
        )
    except Exception as error:  # tf2onnx raises ValueError, KeyError and its own types
        raise ConvertError(f"tf2onnx cannot export the model: {one_line(error)}") from error
    whole = _with_constants(model, function.get_concrete_function())
    require_standard_operators(whole, "tf2onnx leaves TensorFlow operators without an ONNX form")
    return scale_resizes(free_batch(_standard_nearest(whole)))


def _with_constants(model: onnx.ModelProto, function: Any) -> onnx.ModelProto:
    """Turn values that layers hold outside their weights into initializers, in place.

    Normalization holds some. TensorFlow captures them as inputs of the traced function, and tf2onnx
    leaves them inputs.

    Raises:
        ConvertError: the graph then has other inputs than one image.
    """
    captured = {
        placeholder.name: value
        for value, placeholder in function.graph.captures
        if placeholder.dtype.name != "resource"
    }
    inputs = list(model.graph.input)
    del model.graph.input[:]
    for value in inputs:
        if value.name in captured:
            array = np.asarray(captured[value.name].numpy())
            model.graph.initializer.append(numpy_helper.from_array(array, value.name))
        else:
            model.graph.input.append(value)
    if len(model.graph.input) != 1:
        names = ", ".join(value.name for value in model.graph.input)
        raise ConvertError(f"tf2onnx returns a graph of the inputs {names}; needed: one image")
    return model


def _standard_nearest(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write TensorFlow's nearest neighbour, floor((x + 0.5) / scale), in today's terms, in place.

    tf2onnx writes a name that ONNX retired; onnxruntime warns of it.
    """
    for node in model.graph.node:
        attributes = {attribute.name: attribute for attribute in node.attribute}
        mode = attributes.get("coordinate_transformation_mode")
        if node.op_type == "Resize" and mode is not None and mode.s == b"tf_half_pixel_for_nn":
            mode.s, attributes["nearest_mode"].s = b"half_pixel", b"round_prefer_ceil"
    return model


def _erfc(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """Convert Erfc, which Keras's exact GELU uses: erfc(x) = 1 - erf(x). Called by tf2onnx."""
    del name, arguments
    node.type = "Erf"
    one = graph.make_const(f"{node.name}/one", np.ones((), np.float32)).output[0]
    error = node.output[0]
    graph.insert_new_node_on_output("Sub", error, f"{node.name}/complement", [one, error])
