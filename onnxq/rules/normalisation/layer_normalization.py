"""Layer normalisation spelled with reductions becomes LayerNormalization (operator set 17).

    y = (x - mean(x)) / sqrt(variance(x) + epsilon) · scale + bias

with the statistics over the last axes of x, and scale and bias of their sizes (Ba, Kiros,
Hinton 1607.06450; ONNX LayerNormalization).

Conditions:

1. x is float32 and the sizes of the last axes are known.
2. Scale and bias, where there are any, are constants that vary along those axes only.
3. Below operator set 17 only a spelling that ONNX Runtime does not recognise itself is
   rewritten, to the one it does: Pow, Sqrt, Div, and a scale of one dimension.

Measured on ONNX Runtime 1.31 CPU: the usual spelling is fused at load and runs as fast as the
operator; Mul(d, d), Reciprocal, Pow(-0.5), a scale of shape [1, 1, n] or no scale at all keep
it from fusing, and cost 1.8 to 2.3 times as much.

Caveat: mean(x²) - mean(x)² loses digits where the mean is large against the deviation; the
operator's result may be the better one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.normalisation.affine import Affine, affine, normalises_channels
from onnxq.rules.normalisation.standardisation import ROOTS, Standardisation, standardisation
from onnxq.rules.rule import Rule
from onnxq.rules.structure.reductions import add_reduction, sizes
from onnxq.rules.workspace import Workspace

FIRST_OPSET = 17


@dataclass(frozen=True)
class FuseLayerNormalization(Rule):
    """Recognise layer normalisation over the last axes."""

    operators: ClassVar[frozenset[str]] = ROOTS

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the nodes around a root by LayerNormalization."""
        found = standardisation(work, node)
        if found is None or not found.centred or not _over_last_axes(found):
            return None
        if normalises_channels(work, found):
            return None
        tail = affine(work, found, found.axes)
        reason = _obstacle(work, found, tail)
        if reason or tail is None:
            return Refused(node.name, reason)
        what = f"became LayerNormalization over axes {list(found.axes)}"
        if work.opset >= FIRST_OPSET:
            result = _operator(work, node, found, tail)
        elif _would_fuse(found, tail) or tail.scale is None or len(found.axes) > 1:
            reason = f"LayerNormalization needs operator set {FIRST_OPSET}, here {work.opset}"
            return Refused(node.name, reason, needs_opset=FIRST_OPSET)
        else:
            what = f"took the usual spelling of LayerNormalization over axes {list(found.axes)}"
            result = _usual_spelling(work, node, found, tail)
        work.substitute(tail.output, result)
        return Applied(node.name, what)


def _over_last_axes(found: Standardisation) -> bool:
    return found.axes == tuple(range(found.axes[0], found.rank))


def _obstacle(work: Workspace, found: Standardisation, tail: Affine | None) -> str:
    dtype = work.dtype(found.source)
    if dtype != np.float32:
        return f"the input is {dtype}, not float32"
    if sizes(work.shape(found.source), found.axes) is None:
        return "the sizes of the normalised axes are not known"
    if tail is None:
        return "the scale within varies along other axes than the statistics"
    return ""


def _would_fuse(found: Standardisation, tail: Affine) -> bool:
    """Whether the engine recognises the spelling by itself."""
    return found.usual and tail.scale is not None and tail.flat


def _operator(work: Workspace, node: Node, found: Standardisation, tail: Affine) -> Tensor:
    name = f"{node.name}_LayerNormalization"
    extent = sizes(work.shape(found.source), found.axes) or ()
    scale = np.ones(extent, np.float32) if tail.scale is None else tail.scale
    inputs: list[Tensor | None] = [found.source, work.constant(f"{name}_scale", scale)]
    if tail.bias is not None:
        inputs.append(work.constant(f"{name}_bias", tail.bias))
    attrs = {"axis": found.axes[0] - found.rank, "epsilon": found.epsilon}
    shape = work.shape(found.source)
    return work.add("LayerNormalization", inputs, name=name, attrs=attrs, shape=shape)


def _usual_spelling(work: Workspace, node: Node, found: Standardisation, tail: Affine) -> Tensor:
    """The same in the nodes that the engine fuses at load."""
    name = f"{node.name}_normalised"
    shape = work.shape(found.source)

    def step(op: str, left: Tensor, right: Tensor | np.ndarray[Any, Any]) -> Tensor:
        operand = right if not isinstance(right, np.ndarray) else work.constant(name, right)
        return work.add(op, [left, operand], name=f"{name}_{op}", shape=shape)

    mean = add_reduction(
        work, "ReduceMean", found.source, found.axes, keepdims=True, name=f"{name}_mean"
    )
    centred = step("Sub", found.source, mean)
    squared = step("Pow", centred, np.array(2.0, np.float32))
    variance = add_reduction(
        work, "ReduceMean", squared, found.axes, keepdims=True, name=f"{name}_variance"
    )
    kept = work.shape(variance)
    epsilon = work.constant(f"{name}_epsilon", np.float32(found.epsilon))
    spread = work.add("Add", [variance, epsilon], name=f"{name}_spread", shape=kept)
    root = work.add("Sqrt", [spread], name=f"{name}_root", shape=kept)
    result = step("Div", centred, root)
    for op, part in (("Mul", tail.scale), ("Add", tail.bias)):
        if part is not None:
            result = step(op, result, part)
    return result
