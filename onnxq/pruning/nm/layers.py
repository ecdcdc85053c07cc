"""Which layers can follow a pattern, as an engine would see it, and why others cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from onnxq.graph import Constant, Model, Node, read
from onnxq.pruning.nm.layout import Layout
from onnxq.quant import Pattern
from onnxq.targets import Sparsity

OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
WEIGHT = 1


@dataclass(frozen=True)
class SparseLayer:
    """A layer whose weight can follow the pattern.

    Attributes:
        node: It.
        weight: The constant.
        layout: How it uses that.
    """

    node: Node = field(repr=False)
    weight: Constant = field(repr=False)
    layout: Layout

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight."""
        return tuple(self.weight.stored.shape)


@dataclass(frozen=True)
class DenseLayer:
    """A layer that stays dense.

    Attributes:
        node: Its name.
        op: Its operator.
        reason: Why.
        weights: Elements of its weight; 0 if that is not known.
    """

    node: str
    op: str
    reason: str
    weights: int


def find_layers(
    model: Model, pattern: Pattern, engine: Sparsity, skip: Mapping[str, str] | None = None
) -> tuple[list[SparseLayer], list[DenseLayer]]:
    """The layers that can follow a pattern, in topological order, and the others.

    Args:
        model: A float model.
        pattern: N:M.
        engine: What the engine takes. One that takes no pattern at all objects to nothing.
        skip: Nodes that shall stay dense, with the reason.
    """
    able: list[SparseLayer] = []
    others: list[DenseLayer] = []
    skip = skip or {}
    for node in model.nodes:
        if not node.standard or node.op not in OPERATORS or len(node.inputs) <= WEIGHT:
            continue
        found = skip.get(node.name) or examine(node, pattern, engine)
        if isinstance(found, SparseLayer):
            able.append(found)
        else:
            weight = node.inputs[WEIGHT]
            size = weight.size if isinstance(weight, Constant) else 0
            others.append(DenseLayer(node.name, node.op, found, size))
    return able, others


def examine(node: Node, pattern: Pattern, engine: Sparsity) -> SparseLayer | str:
    """The layer, or the reason why it stays dense."""
    weight = node.inputs[WEIGHT]
    if not isinstance(weight, Constant):
        return f"its weight '{weight.name}' is computed at run time"
    if weight.overridable:
        return f"its weight '{weight.name}' is a graph input and may change at run time"
    shape, name = tuple(weight.stored.shape), weight.stored.dtype.name
    if name not in ("float16", "bfloat16", "float32", "float64"):
        return f"its weight '{weight.name}' is {name}; sparsify before quantizing"
    if len(shape) < 2 or (node.op == "MatMul" and len(shape) != 2):
        return f"its weight has shape {list(shape)}; only a matrix has one axis of inputs"
    layout = Layout.of(node, shape)
    channels = layout.channels(shape)
    if channels % pattern.block or not weight.size:
        return f"a sum runs over {channels} input channels, no multiple of {pattern.block}"
    reason = next(_objections(node, layout, shape, name, pattern, engine), "")
    if reason:
        return reason
    if not np.isfinite(read(weight)).all():
        return f"its weight '{weight.name}' contains NaN or infinity"
    return SparseLayer(node, weight, layout)


def _objections(
    node: Node,
    layout: Layout,
    shape: tuple[int, ...],
    type_name: str,
    pattern: Pattern,
    engine: Sparsity,
) -> Iterator[str]:
    """What the engine has against a sparse form of a layer."""
    if not engine.patterns:
        return
    channels = layout.channels(shape)
    outputs = shape[0] if layout.sums_first else int(np.prod(shape[1:])) // layout.positions
    if str(pattern) not in engine.patterns:
        yield f"the engine has no kernel for {pattern}, only for {', '.join(engine.patterns)}"
    if node.op not in engine.operators:
        yield f"the engine has no sparse form of {node.op}"
    if layout.groups > 1 and not engine.grouped:
        yield f"it has {layout.groups} groups; the engine takes sparse weights without groups"
    if type_name not in engine.types:
        yield f"its weight is {type_name}; the engine takes {', '.join(engine.types)}"
    if channels % engine.input_multiple:
        yield f"{channels} input channels are no multiple of {engine.input_multiple}"
    if outputs % engine.output_multiple:
        yield f"{outputs} output channels are no multiple of {engine.output_multiple}"
