"""Matrix products whose data is quantized with the range of each run.

    y = (Q(x) @ W) * (scale of x * scale of W) + bias

DynamicQuantizeLinear finds the scale and the zero point of `x`, so no calibration is needed.
Such a node reads and writes float tensors, whatever its neighbours do.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnxq.graph import Constant, Node, Tensor, TensorType
from onnxq.plan.settings import Format, NodeSettings
from onnxq.targets import Compute, Target

_BYTE = 8


def dynamic_fault(
    node: Node,
    rule: Compute,
    wishes: NodeSettings,
    target: Target,
    types: Mapping[str, TensorType],
) -> str:
    """Why the data of a weighted node cannot be quantized at run time, or nothing."""
    if isinstance(rule.dynamic, str):
        return rule.dynamic
    if not rule.dynamic:
        return no_dynamic_form(target)
    fault = _format_fault(wishes.activations)
    if fault:
        return fault
    if wishes.weights.qtype.bits > _BYTE:
        return f"its weight has {wishes.weights.qtype.bits} bits, an integer product takes {_BYTE}"
    return _scaled(node) or _raised_rank(node, types)


def no_dynamic_form(target: Target) -> str:
    """That ranges are found at run time elsewhere only."""
    names = sorted(
        name
        for name, rule in target.operators.items()
        if isinstance(rule, Compute) and rule.dynamic is True
    )
    return f"{target.name} finds ranges at run time for {' and '.join(names) or 'no operator'}"


def _format_fault(wish: Format) -> str:
    """Why DynamicQuantizeLinear does not make codes as wished for, or nothing."""
    qtype = wish.qtype
    if qtype.bits != _BYTE or qtype.signed:
        made = f"{'' if qtype.signed else 'un'}signed with {qtype.bits} bits"
        return f"codes made at run time are unsigned with 8 bits, not {made}"
    for name in ("symmetric", "narrow_range", "power_of_two"):
        if getattr(wish, name):
            return f"scales found at run time know no {name}"
    if wish.half_scales:
        return "scales found at run time are float32, not float16"
    return ""


def _scaled(node: Node) -> str:
    """Why a Gemm is no plain product, or nothing."""
    for name, plain in (("alpha", 1.0), ("beta", 1.0), ("transA", 0)):
        value = node.attrs.get(name, plain)
        if node.op == "Gemm" and value != plain:
            return f"runs in integers only with {name} = {plain:g}, here {value:g}"
    return ""


def _raised_rank(node: Node, types: Mapping[str, TensorType]) -> str:
    """Why the Add behind a product must not be fused with it, or nothing.

    ONNX Runtime fuses any Add of one row and loses the axes that only the row has.
    """
    if node.op == "Gemm" or len(node.outputs[0].outputs) != 1:
        return ""
    add = node.outputs[0].outputs[0]
    if add.op != "Add" or not add.standard:
        return ""
    other = add.inputs[add.inputs[0] is node.outputs[0]]
    row, data = _rank(other, types), _rank(node.inputs[0], types)
    if row is not None and row <= max(1, data or 0):
        return ""
    return f"'{other.name}', which is added to its result, may have more axes than that"


def _rank(tensor: Tensor, types: Mapping[str, TensorType]) -> int | None:
    if isinstance(tensor, Constant):
        return len(tensor.stored.shape)
    shape = types.get(tensor.name, (None, None))[1]
    return None if shape is None else len(shape)
