"""Which nodes could run in integers by themselves, whatever their neighbours do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from onnxq.graph import Constant, Node, Tensor, TensorType, bound_constant, read
from onnxq.plan.dynamic import dynamic_fault, no_dynamic_form
from onnxq.plan.settings import Blocks, Format, NodeSettings
from onnxq.targets import Arithmetic, Compute, Rule, SameScale, Table, Target

_LARGEST_ORDINARY = 2.0**100
"""Constants from here on stand for minus infinity in masks; no scale fits them and the rest."""


@dataclass(frozen=True)
class Candidate:
    """A node that fits its target's rule.

    Attributes:
        node: The node.
        rule: The rule.
        data: Indices of the inputs that are quantized. Without any only its weight or table
            is stored in integers: it computes in float.
        dynamic: Whether the node itself quantizes its float data, with the range of each run.
    """

    node: Node
    rule: Rule
    data: tuple[int, ...]
    dynamic: bool = False


@dataclass(frozen=True)
class Context:
    """What the decisions are made from."""

    target: Target
    types: Mapping[str, TensorType]
    settings: Mapping[str, NodeSettings]
    base: NodeSettings
    unavailable: Mapping[str, str]
    """Tensors that must stay float (no data seen, no usable range), with the reason."""
    returned: Mapping[str, str] = field(default_factory=dict)
    """Nodes that must stay float, with the reason."""
    inputs: Mapping[str, Format] = field(default_factory=dict)
    """How inputs of the model are stored that the configuration names."""


def examine(node: Node, context: Context) -> Candidate | str:
    """The candidate, or the reason why the node stays float."""
    keep = context.settings[node.name].keep_float or context.returned.get(node.name, "")
    if keep:
        return keep
    rule = context.target.operators.get(node.op) if node.standard else None
    if rule is None:
        return _no_rule(node, context.target)
    unmet = _unmet_requirement(node, rule)
    if unmet:
        return unmet
    if isinstance(rule, Compute):
        return _compute(node, rule, context)
    if isinstance(rule, Table):
        return _table(node, rule)
    if context.settings[node.name].dynamic and getattr(rule, "when", "") == "always":
        return no_dynamic_form(context.target)
    if sum(bool(t.name) for t in node.outputs) > 1 and not _many_outputs(rule):
        return "its second output is used"
    data = _data_inputs(node, rule)
    fault = _constant_data_fault(node, rule, data) or _not_float32(node, data, context)
    return fault or Candidate(node, rule, data)


def _no_rule(node: Node, target: Target) -> str:
    if not node.standard:
        return f"operator of domain '{node.domain}' is unknown to target {target.name}"
    return target.never.get(node.op, f"{target.name} has no integer form of {node.op}")


def _unmet_requirement(node: Node, rule: Rule) -> str:
    for name in rule.forbid:
        if name in node.attrs:
            return f"runs in integers only without the attribute {name}"
    for name, wanted in rule.require.items():
        value = node.attrs.get(name, rule.defaults.get(name))
        if value not in (wanted if isinstance(wanted, list) else [wanted]):
            return f"runs in integers only with {name} = {wanted}, here {value}"
    return ""


def _many_outputs(rule: Rule) -> bool:
    return isinstance(rule, SameScale) and rule.outputs == "all"


def _data_inputs(node: Node, rule: Rule) -> tuple[int, ...]:
    if isinstance(rule, Arithmetic) and isinstance(rule.inputs, list):
        return tuple(i for i in rule.inputs if i < len(node.inputs))
    if isinstance(rule, Arithmetic):
        return tuple(range(len(node.inputs)))
    return (0,)


def _constant_data_fault(node: Node, rule: Rule, data: tuple[int, ...]) -> str:
    """Why a constant among the data inputs cannot be stored in integers, or nothing."""
    for tensor in (node.inputs[i] for i in data):
        if not isinstance(tensor, Constant):
            continue
        if isinstance(rule, SameScale):
            return f"its input '{tensor.name}' is a constant"
        if isinstance(rule, Arithmetic) and rule.scales == "tied":
            return f"its input '{tensor.name}' is a constant, which cannot share a scale"
        fault = constant_fault(tensor, "operand")
        if fault:
            return fault
        if tensor.size and np.abs(read(tensor)).max() >= _LARGEST_ORDINARY:
            return f"its operand '{tensor.name}' holds values near the largest float"
    return ""


def _not_float32(node: Node, data: tuple[int, ...], context: Context) -> str:
    """Why a data input or an output cannot be quantized, or nothing."""
    for tensor in (*(node.inputs[i] for i in data), *node.outputs):
        if tensor.name in context.unavailable:
            return context.unavailable[tensor.name]
        dtype = _dtype(tensor, context)
        if dtype is not None and dtype != np.float32:
            return f"'{tensor.name}' is {dtype.name}; only float32 is quantized"
    return ""


def _dtype(tensor: Tensor, context: Context) -> np.dtype[np.generic] | None:
    if isinstance(tensor, Constant):
        return tensor.stored.dtype
    return context.types.get(tensor.name, (None, None))[0]


def _compute(node: Node, rule: Compute, context: Context) -> Candidate | str:
    if len(node.inputs) <= rule.weight:
        return f"has no input {rule.weight}"
    weight = bound_constant(node.inputs[rule.weight])
    fault = constant_fault(node.inputs[rule.weight], "weight")
    if fault or weight is None:
        return fault
    if isinstance(node.inputs[0], Constant):
        return "its input is a constant"
    if len(weight.stored.shape) < 2:
        return f"its weight '{weight.name}' has rank {len(weight.stored.shape)}"
    if node.op == "MatMul" and len(weight.stored.shape) != 2:
        return "its weight is batched; the engine takes a matrix"
    wishes = context.settings[node.name]
    if rule.granularity == "block" and isinstance(wishes.weights.grain, Blocks):
        return Candidate(node, rule, ())
    if wishes.dynamic:
        fault = dynamic_fault(node, rule, wishes, context.target, context.types)
        if fault:
            return fault
    fault = _not_float32(node, (0, rule.weight), context)
    data = () if wishes.dynamic else (0,)
    return fault or Candidate(node, rule, data, dynamic=wishes.dynamic)


def constant_fault(tensor: Tensor, what: str) -> str:
    """Why a constant that a node reads as its `what` cannot be stored in integers, or nothing."""
    if not isinstance(tensor, Constant):
        return f"its {what} '{tensor.name}' is computed at run time"
    if tensor.overridable:
        return f"its {what} '{tensor.name}' is a graph input and may change at run time"
    if tensor.stored.dtype != np.float32:
        return (
            f"its {what} '{tensor.name}' is {tensor.stored.dtype.name}; only float32 is quantized"
        )
    if tensor.size == 0:
        return f"its {what} '{tensor.name}' is empty"
    if not np.isfinite(read(tensor)).all():
        return f"its {what} '{tensor.name}' contains NaN or infinity"
    return ""


def _table(node: Node, rule: Table) -> Candidate | str:
    table = node.inputs[rule.input]
    if not isinstance(table, Constant):
        return "looks up a tensor that is computed at run time; only constant tables are stored"
    if len(table.stored.shape) != 2 or int(node.attrs.get("axis", 0)) != 0:
        return "is not a look-up of rows in a matrix"
    return constant_fault(table, "table") or Candidate(node, rule, ())
