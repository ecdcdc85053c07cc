"""BatchNormalization at inference is a multiplication and an addition per channel.

With a = gamma / sqrt(variance + epsilon) and c = beta - a·mean (ONNX BatchNormalization):

1. After Conv, ConvTranspose, Gemm or MatMul: a·(W·x + b) + c = (a·W)·x + (a·b + c). Always
   exact. MatMul has no bias, so the node becomes an Add of c.
2. Before Conv, Gemm or MatMul: W·(a·x + c) + b = (W·a)·x + (W·c + b). Exact only if the
   convolution pads with nothing, because the padding would have to be -c/a and not 0.

The factors are computed in float64. New constants replace the old ones, so that weights
shared with other nodes stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import (
    Constant,
    Model,
    Node,
    bound_constant,
    constant,
    infer_types,
    is_output,
    only_reader,
    producer,
    read,
    remove_nodes,
    replace_uses,
    set_input,
    take_output,
)
from onnxq.passes.events import Applied, Event, Refused

_LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")
Array = NDArray[Any]


@dataclass(frozen=True)
class FuseBatchNorm:
    """Fold BatchNormalization into the linear operator before it, or after it where exact."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Fold each BatchNormalization of the main graph, or say why not."""
        while True:
            events = list(self._once(model))
            applied = [event for event in events if isinstance(event, Applied)]
            # One that was folded away may have stood between another and its operator.
            yield from applied or events
            if not applied:
                return

    def _once(self, model: Model) -> Iterator[Event]:
        done: list[Node] = []
        ranks: dict[str, int | None] = {
            name: None if shape is None else len(shape)
            for name, (_, shape) in infer_types(model).items()
        }
        for node in model.nodes:
            if node.op != "BatchNormalization" or not node.standard:
                continue
            fold = _Fold.of(model, node, ranks)
            reason = fold if isinstance(fold, str) else fold.into_previous()
            if reason and isinstance(fold, _Fold):
                reason = fold.into_next(because=reason)
            if reason or isinstance(fold, str):
                yield Refused(node.name, reason)
                continue
            if fold.removed:
                done.append(node)
            yield Applied(node.name, fold.what)
        remove_nodes(model, done)


@dataclass
class _Fold:
    """One BatchNormalization with its factors a and addends c, both [channels] float64."""

    model: Model
    node: Node
    rank: int | None
    factor: Array
    addend: Array
    dtype: np.dtype[Any]
    what: str = ""
    removed: bool = True

    @classmethod
    def of(cls, model: Model, node: Node, ranks: dict[str, int | None]) -> _Fold | str:
        if node.attrs.get("training_mode", 0) or node.attrs.get("is_test", 1) == 0:
            return "is in training mode"
        if any(t.name and (t.outputs or is_output(model, t)) for t in node.outputs[1:]):
            return "its running statistics are outputs"
        parameters: list[Array] = []
        for tensor in node.inputs[1:5]:
            known = bound_constant(tensor)
            if known is None:
                return f"'{tensor.name}' is computed or may be overridden at run time"
            parameters.append(read(known).astype(np.float64))
        gamma, beta, mean, variance = parameters
        if variance.ndim != 1 or node.attrs.get("spatial", 1) == 0:
            return "its statistics are not per channel"
        with np.errstate(all="ignore"):
            factor = gamma / np.sqrt(variance + float(node.attrs.get("epsilon", 1e-5)))
            addend = beta - factor * mean
        if not (np.isfinite(factor).all() and np.isfinite(addend).all()):
            return "its statistics contain NaN, infinity or a negative variance"
        dtype = node.inputs[1].dtype
        assert dtype is not None
        return cls(model, node, ranks.get(node.inputs[0].name), factor, addend, dtype)

    def into_previous(self) -> str:
        """Fold into the operator before; the reason if that cannot be."""
        source = self.node.inputs[0]
        before = producer(source)
        if before is None or before.op not in _LINEAR or not before.standard:
            return f"nothing linear before it, but {before.op if before else 'an input'}"
        if only_reader(self.model, source) is not self.node:
            return f"the output '{source.name}' of '{before.name}' is also read elsewhere"
        weight = bound_constant(before.inputs[1])
        if weight is None:
            return f"the weight '{before.inputs[1].name}' of '{before.name}' is not a constant"
        if weight.stored.dtype != self.dtype:
            return f"the weight '{weight.name}' of '{before.name}' is not {self.dtype.name}"
        if before.op == "MatMul" and (self.rank != 2 or len(weight.stored.shape) != 2):
            return f"the channels of '{source.name}' are not the columns of '{before.name}'"
        if before.op == "MatMul":
            self._become_bias(before, weight)
            return ""
        bias = self._bias(before)
        if isinstance(bias, str):
            return bias
        self._store(before, 1, _scale_outputs(before, read(weight), self.factor))
        self._store(before, 2, self.factor * bias + self.addend)
        take_output(self.node.outputs[0], before)
        self.what = f"folded into '{before.name}' ({before.op})"
        return ""

    def into_next(self, *, because: str) -> str:
        """Fold into the operator after; `because` and the reason if that cannot be."""
        output = self.node.outputs[0]
        after = only_reader(self.model, output)
        if after is None or after.op not in ("Conv", "Gemm", "MatMul") or not after.standard:
            return because
        weight = bound_constant(after.inputs[1])
        if weight is None or after.inputs[0] is not output or weight.stored.dtype != self.dtype:
            return f"{because}; the weight of '{after.name}' is not a constant"
        if after.op == "Conv" and _pads(after) and np.any(self.addend):
            return f"{because}; '{after.name}' pads with zeros, which the addition would change"
        flat = self.rank == 2 and len(weight.stored.shape) == 2
        if after.op != "Conv" and (not flat or after.attrs.get("transA", 0)):
            return f"{because}; its channels are not what '{after.name}' sums over"
        if after.op == "MatMul" and np.any(self.addend):
            return f"{because}; '{after.name}' has no bias to take the addition"
        bias = self._bias(after) if after.op != "MatMul" else np.zeros(1)
        if isinstance(bias, str):
            return f"{because}; {bias}"
        scaled, moved = _scale_inputs(after, read(weight), self.factor, self.addend)
        self._store(after, 1, scaled)
        if after.op != "MatMul":
            self._store(after, 2, bias + moved)
        replace_uses(output, self.node.inputs[0])
        self.what = f"folded into '{after.name}' ({after.op}) after it"
        return ""

    def _become_bias(self, before: Node, weight: Constant) -> None:
        self._store(before, 1, read(weight) * self.factor)
        node = self.node
        node.op, node.attrs, node.source = "Add", {}, None
        addend = self.addend.astype(self.dtype)
        name = self.model.new_name(f"{before.name}_bias")
        node.inputs = [node.inputs[0], constant(name, addend)]
        node.outputs = node.outputs[:1]
        self.removed = False
        self.what = f"folded into '{before.name}' (MatMul); an Add of its addend is left"

    def _bias(self, node: Node) -> Array | str:
        """The bias as [channels] float64, zeros if there is none, or why it cannot be used."""
        if node.op == "Gemm" and (
            node.attrs.get("alpha", 1.0) != 1.0 or node.attrs.get("beta", 1.0) != 1.0
        ):
            return f"'{node.name}' scales by alpha or beta; fold those first (FoldGemmScalars)"
        if len(node.inputs) < 3 or not node.inputs[2].name:
            return np.zeros(1)
        known = bound_constant(node.inputs[2])
        if known is None:
            return f"the bias '{node.inputs[2].name}' of '{node.name}' is not a constant"
        value = read(known).astype(np.float64)
        if value.ndim > 1 and value.shape[0] != 1:
            return f"the bias '{known.name}' of '{node.name}' differs by row"
        return value.reshape(-1)

    def _store(self, node: Node, index: int, value: Array) -> None:
        old = node.inputs[index].name if len(node.inputs) > index else ""
        name = self.model.new_name(f"{old}_fused" if old else f"{node.name}_bias")
        set_input(node, index, constant(name, np.ascontiguousarray(value, self.dtype)))


def _scale_outputs(node: Node, weight: Array, factor: Array) -> Array:
    """Multiply each output channel of a weight."""
    if node.op == "Conv":
        return weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    if node.op == "Gemm":
        return weight * (factor[:, None] if node.attrs.get("transB", 0) else factor)
    # ConvTranspose [in, out/groups, …]: input channels of a group share its output channels.
    groups = int(node.attrs.get("group", 1))
    split = weight.reshape(groups, -1, *weight.shape[1:])
    shape = (groups, 1, weight.shape[1], *[1] * (weight.ndim - 2))
    return np.asarray((split * factor.reshape(shape)).reshape(weight.shape))


def _scale_inputs(node: Node, weight: Array, factor: Array, addend: Array) -> tuple[Array, Array]:
    """Multiply each input channel; also what the added constants become at the output."""
    if node.op == "MatMul":
        return weight * factor[:, None], np.zeros(1)
    if node.op == "Gemm":
        rows = weight if node.attrs.get("transB", 0) else weight.T
        scaled = rows * factor
        return (scaled if node.attrs.get("transB", 0) else scaled.T), rows @ addend
    groups = int(node.attrs.get("group", 1))
    out_per_group, in_per_group = weight.shape[0] // groups, weight.shape[1]
    by_output = np.repeat(factor.reshape(groups, in_per_group), out_per_group, 0)
    added = np.repeat(addend.reshape(groups, in_per_group), out_per_group, 0)
    tail = [1] * (weight.ndim - 2)
    scaled = weight * by_output.reshape(*by_output.shape, *tail)
    summed = weight.reshape(*weight.shape[:2], -1).sum(-1)
    return scaled, (summed * added).sum(1)


def _pads(node: Node) -> bool:
    automatic = node.attrs.get("auto_pad", "NOTSET")
    return any(node.attrs.get("pads", [])) or automatic in ("SAME_UPPER", "SAME_LOWER")
