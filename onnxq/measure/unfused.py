"""Why ONNX Runtime's CPU engine left a node in float between its Q/DQ nodes.

Each rule looks at the node in the optimized graph and names one cause, or says nothing.
The first rule that speaks wins; the order goes from what no plan can change to details.
What fuses, and on which conditions, was observed with ONNX Runtime 1.31.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto

from onnxq.measure.optimized import OptimizedGraph, is_op
from onnxq.measure.protos import (
    FLOAT_TYPES,
    FOUR_BITS,
    TWO_BITS,
    attributes,
    describe,
    dtype_name,
)

Rule = Callable[[NodeProto, OptimizedGraph], str]


def why_float(node: NodeProto, graph: OptimizedGraph) -> str:
    """The most likely reason why a node of the optimized graph computes in float."""
    for rule in _RULES:
        reason = rule(node, graph)
        if reason:
            return reason
    return "the engine did not fuse it; the cause was not recognised"


def _no_integer_kernel(node: NodeProto, _graph: OptimizedGraph) -> str:
    if node.op_type in _QUANTIZABLE:
        return ""
    return f"the engine has no integer {node.op_type}; leave its tensors in float"


def _wide_codes(node: NodeProto, graph: OptimizedGraph) -> str:
    for tensor, dtype in _codes_around(node, graph):
        if dtype in (TensorProto.INT16, TensorProto.UINT16):
            return f"'{tensor}' has 16 bits and integer operators take 8"
    return ""


def _narrow_weight(node: NodeProto, graph: OptimizedGraph) -> str:
    for tensor, dtype in _codes_around(node, graph):
        if dtype in FOUR_BITS | TWO_BITS:
            return f"'{tensor}' is {dtype_name(dtype)} and an integer {node.op_type} takes 8 bits"
    return ""


def _float_input(node: NodeProto, graph: OptimizedGraph) -> str:
    for name in _data_inputs(node):
        writer = graph.writers.get(name)
        if is_op(writer, "DequantizeLinear"):
            continue
        if name in graph.constants:
            return f"its constant input '{name}' is not quantized"
        origin = f", which {describe(writer)} writes in float" if writer is not None else ""
        return f"its input '{name}' is not quantized{origin}"
    return ""


def _missing_zero_point(node: NodeProto, graph: OptimizedGraph) -> str:
    if node.op_type not in _GEMMS and node.op_type not in _SAME_PARAMETERS:
        return ""
    writers = [graph.writers.get(name) for name in _data_inputs(node)]
    conversions = [writer for writer in writers if writer is not None]
    if node.op_type in _SAME_PARAMETERS:
        conversions += _quantizers(node, graph)
    for conversion in conversions:
        if len(conversion.input) < 3 or not conversion.input[2]:
            return f"{describe(conversion)} has no zero point; write it out, even if it is 0"
    return ""


def _merged_sum(node: NodeProto, _graph: OptimizedGraph) -> str:
    if is_op(node, "FusedConv") and len(node.input) > 3 and node.input[3]:
        return "its output goes in float into an Add; quantize the tensor between them"
    return ""


def _merged_activation(node: NodeProto, graph: OptimizedGraph) -> str:
    activation = attributes(node).get("activation") if node.op_type in _FUSED_FLOAT else None
    if not activation:
        return ""
    return _about_activation(str(activation), node, graph)


def _unquantized_gemm(node: NodeProto, graph: OptimizedGraph) -> str:
    if node.op_type not in _GEMMS or _quantizers(node, graph):
        return ""
    return (
        "its bias is float and its output is not quantized; "
        "quantize the output, or store the bias as int32"
    )


def _is_model_output(node: NodeProto, graph: OptimizedGraph) -> str:
    for name in node.output:
        if name in graph.outputs and _quantizers(node, graph):
            return f"'{name}' is also an output of the model; return the dequantized tensor"
        if name in graph.outputs:
            return f"its output '{name}' is not quantized: the model returns it in float"
    return ""


def _float_reader(node: NodeProto, graph: OptimizedGraph) -> str:
    readers = [r for name in node.output for r in graph.read_by(name)]
    in_float = next((r for r in readers if not is_op(r, "QuantizeLinear")), None)
    if in_float is None:
        return ""
    if in_float.op_type in _ACTIVATIONS and len(readers) == 1:
        return _about_activation(in_float.op_type, in_float, graph)
    if _quantizers(node, graph):
        remedy = "let it read the quantized tensor"
    else:
        remedy = "quantize the tensor between them"
    return f"its output is read in float by {describe(in_float)}; {remedy}"


def _several_quantizers(node: NodeProto, graph: OptimizedGraph) -> str:
    names = [quantizer.output[0] for quantizer in _quantizers(node, graph)]
    if len(names) < 2 or len(node.output) > 1:
        return ""
    return f"its output is quantized in different ways: {', '.join(map(repr, sorted(names)))}"


def _scaled_gemm(node: NodeProto, _graph: OptimizedGraph) -> str:
    if node.op_type not in _GEMMS:
        return ""
    settings = attributes(node)
    for name in ("alpha", "beta"):
        if settings.get(name, 1.0) != 1.0:
            return f"its {name} is {settings[name]:g}; fold it into the weight or the bias"
    return ""


def _bias_scale(node: NodeProto, graph: OptimizedGraph) -> str:
    if node.op_type not in _WEIGHTED or len(node.input) < 3:
        return ""
    scales = [_scale_of(name, graph) for name in node.input[:3]]
    data, weight, bias = scales
    if data is None or weight is None or bias is None:
        return ""
    expected = (data * weight).astype(np.float64)
    if np.allclose(np.broadcast_to(bias, expected.shape), expected, rtol=_BIAS_TOLERANCE, atol=0):
        return ""
    return "the scale of its bias is not the product of the scales of data and weight"


def _different_parameters(node: NodeProto, graph: OptimizedGraph) -> str:
    if node.op_type not in _SAME_PARAMETERS:
        return ""
    reader = graph.writers.get(node.input[0])
    for quantizer in _quantizers(node, graph):
        for index, what in ((1, "scale"), (2, "zero point")):
            before = graph.constant_input(reader, index) if reader is not None else None
            after = graph.constant_input(quantizer, index)
            if before is not None and after is not None and not np.array_equal(before, after):
                return f"its input and output differ in {what}; give them the same parameters"
    return ""


def _different_types(node: NodeProto, graph: OptimizedGraph) -> str:
    data = [dtype for name, dtype in _codes_around(node, graph) if name not in graph.constants]
    if len(set(data)) < 2:
        return ""
    return f"its tensors have different types: {', '.join(sorted(set(map(dtype_name, data))))}"


def _about_activation(activation: str, node: NodeProto, graph: OptimizedGraph) -> str:
    """Why `activation`, whose result `node` writes, keeps the node before it in float."""
    if activation not in ("Relu", "Clip"):
        return f"its output goes in float into a {activation}; quantize the tensor between them"
    for quantizer in _quantizers(node, graph):
        point = graph.constant_input(quantizer, 2)
        if point is None or point.dtype.kind not in "iu":
            continue
        lowest = int(np.iinfo(point.dtype).min)
        if int(point.reshape(-1)[0]) != lowest:
            return (
                f"the {activation} after it must stay, since zero is code {int(point.flat[0])} "
                f"of '{quantizer.output[0]}'; a zero point of {lowest} makes it redundant"
            )
        return f"the {activation} after it must stay: the quantized range goes beyond its bounds"
    return f"the output of the {activation} after it is not quantized"


def _data_inputs(node: NodeProto) -> Iterator[str]:
    """The inputs that must be quantized for the node to fuse."""
    indices = _INPUTS.get(node.op_type, (0,))
    for index in indices if indices is not None else range(len(node.input)):
        if index < len(node.input) and node.input[index]:
            yield node.input[index]


def _quantizers(node: NodeProto, graph: OptimizedGraph) -> list[NodeProto]:
    readers = (reader for name in node.output for reader in graph.read_by(name))
    return [reader for reader in readers if is_op(reader, "QuantizeLinear")]


def _codes_around(node: NodeProto, graph: OptimizedGraph) -> Iterator[tuple[str, int]]:
    """Quantized tensors that the node's neighbours read and write, with their types."""
    for name in _data_inputs(node):
        writer = graph.writers.get(name)
        if writer is not None and is_op(writer, "DequantizeLinear"):
            yield writer.input[0], graph.dtypes.get(writer.input[0], 0)
    for quantizer in _quantizers(node, graph):
        dtype = graph.dtypes.get(quantizer.output[0], 0)
        if dtype not in FLOAT_TYPES:
            yield quantizer.output[0], dtype


def _scale_of(name: str, graph: OptimizedGraph) -> NDArray[Any] | None:
    writer = graph.writers.get(name)
    if writer is None or not is_op(writer, "DequantizeLinear"):
        return None
    return graph.constant_input(writer, 1)


# A bias scale this far from the product is still fused (and read as the product).
_BIAS_TOLERANCE = 0.05
_FUSED_FLOAT = ("FusedConv", "FusedGemm", "Conv")
_GEMMS = ("Gemm", "FusedGemm")
_WEIGHTED = ("Conv", "FusedConv", "Gemm", "FusedGemm")
_ACTIVATIONS = frozenset(
    {"Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "QuickGelu"}
    | {"Relu", "Sigmoid", "Softplus", "Tanh"}
)
# Inputs that must be quantized, where that is not only the first; None: all of them.
_INPUTS: dict[str, tuple[int, ...] | None] = {
    "Add": None,
    "Concat": None,
    "Conv": (0, 1),
    "FusedConv": (0, 1),
    "FusedGemm": (0, 1),
    "Gemm": (0, 1),
    "MatMul": None,
    "Mul": None,
    "Where": (1, 2),
}
_SAME_PARAMETERS = frozenset(
    {"DepthToSpace", "Expand", "Flatten", "Gather", "MaxPool", "ReduceMax", "ReduceMin"}
    | {"Reshape", "Resize", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"}
)
_QUANTIZABLE = (
    frozenset(_INPUTS)
    | _SAME_PARAMETERS
    | {"AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Softmax"}
    | {"ArgMax", "TopK"}
)
_RULES: tuple[Rule, ...] = (
    _no_integer_kernel,
    _wide_codes,
    _narrow_weight,
    _float_input,
    _missing_zero_point,
    _merged_sum,
    _merged_activation,
    _unquantized_gemm,
    _is_model_output,
    _float_reader,
    _several_quantizers,
    _scaled_gemm,
    _bias_scale,
    _different_parameters,
    _different_types,
)
