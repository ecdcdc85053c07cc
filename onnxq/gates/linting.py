"""A model against a target's profile: what the engine would not take, and what stays float."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from onnxq.gates.subject import Subject
from onnxq.graph import Constant, Node, Tensor, producer, read
from onnxq.targets import Absorbed, Compute, Storage, Target

_BIAS_BYTES = 4
_WIDE = 16
_SIGNS = {True: "signed", False: "unsigned"}


@dataclass(frozen=True)
class Lint:
    """What a profile says about a model.

    Attributes:
        faults: What the engine would not take as it is meant.
        floating: Layers that multiply in float there, with the reason, most work first.
        share: Share of the multiply-accumulates that run in integers there; 0.0 if none.
    """

    faults: tuple[str, ...]
    floating: Mapping[str, str]
    share: float


def lint(subject: Subject, target: Target) -> Lint:
    """Hold a model against a target's profile."""
    nodes = {node.name: node for node in subject.model.nodes}
    floating: dict[str, str] = {}
    integer = 0
    for counted in sorted(subject.cost.nodes, key=lambda cost: -cost.macs):
        node = nodes.get(counted.node)
        reason = "it lies in a body" if node is None else _float_reason(node, target)
        if reason:
            floating[counted.node] = reason
        else:
            integer += counted.macs
    macs = subject.cost.macs
    faults = tuple(dict.fromkeys(_faults(subject, target)))
    return Lint(faults, floating, integer / macs if macs else 0.0)


def _faults(subject: Subject, target: Target) -> Iterator[str]:
    model = subject.model
    if subject.summary.conversions and model.opset < target.minimum_opset:
        yield f"operator set {model.opset}; Q/DQ needs {target.minimum_opset} there"
    if not target.measurable:
        for domain in subject.summary.custom_domains:
            yield f"operators of domain '{domain}', which only their own engine knows"
    for node in model.nodes:
        if node.op == "DequantizeLinear" and node.standard:
            yield from _code_faults(node, target)


def _code_faults(node: Node, target: Target) -> Iterator[str]:
    source = node.inputs[0]
    if not isinstance(source, Constant):
        point = _zero_point(node)
        yield from _form_faults(f"data '{source.name}'", point, target.activations, wide=target)
        return
    if source.stored.dtype.itemsize == _BIAS_BYTES:
        if target.bias == "float":
            yield f"bias '{source.name}' is stored in integers; {target.name} wants it in float"
        return
    form = np.zeros(1, source.stored.dtype)
    point = _zero_point(node)
    codes = form if point is None else point
    layers = {r.op: target.operators.get(r.op) for r in node.outputs[0].outputs}
    rules = {op: rule for op, rule in layers.items() if isinstance(rule, Compute)}
    if not rules:
        # An operand of Add or Mul is data, although it is known beforehand.
        yield from _form_faults(f"data '{source.name}'", codes, target.activations, wide=target)
        return
    yield from _form_faults(f"weight '{source.name}'", codes, target.weights, wide=None)
    for op, rule in rules.items():
        if rule.granularity == "tensor" and node.inputs[1].size > 1:
            yield (
                f"weight '{source.name}' has a scale per channel; {target.name} takes one per "
                f"tensor for {op}"
            )


def _form_faults(
    what: str, point: np.ndarray | None, storage: Storage, *, wide: Target | None
) -> Iterator[str]:
    """What is wrong with the form of codes, told by their zero point."""
    if point is None:
        return
    bits = _bits(point.dtype)
    allowed = {storage.bits} | ({_WIDE} if wide is not None and wide.wide_activations else set())
    if bits not in allowed:
        yield f"{what} has {bits} bits; the profile has {' or '.join(map(str, sorted(allowed)))}"
    if not storage.symmetric:
        return
    signed = not point.dtype.name.startswith("uint")
    if storage.signed != signed:
        yield f"{what} is {_SIGNS[signed]}; only {_SIGNS[not signed]} codes are taken"
    elif signed and np.any(point.astype(np.int32)):
        yield f"{what} has zero point {int(point.astype(np.int32).flat[0])}; only 0 is taken"


def _float_reason(node: Node, target: Target) -> str:
    """Why a layer multiplies in float on the target; empty if it does not."""
    rule = target.operators.get(node.op) if node.standard else None
    if not isinstance(rule, Compute):
        return target.never.get(node.op, f"{target.name} has no integer form of {node.op}")
    for name in rule.forbid:
        if name in node.attrs:
            return f"runs in integers only without the attribute {name}"
    for name, wanted in rule.require.items():
        value = node.attrs.get(name, rule.defaults.get(name))
        if value not in (wanted if isinstance(wanted, list) else [wanted]):
            return f"runs in integers only with {name} = {wanted}, here {value}"
    for index, what in ((0, "data"), (rule.weight, "weight")):
        if index >= len(node.inputs) or not _is_dequantized(node.inputs[index]):
            return f"its {what} is not quantized"
    if rule.output == "required" and not _is_quantized(node, target):
        return "its output is not quantized"
    return ""


def _is_dequantized(tensor: Tensor) -> bool:
    node = producer(tensor)
    while node is not None and node.op in ("Transpose", "Reshape", "Identity"):
        node = producer(node.inputs[0])
    return node is not None and node.op == "DequantizeLinear"


def _is_quantized(node: Node, target: Target) -> bool:
    """Whether all that reads the output quantizes it, seen through what the layer absorbs."""
    readers = node.outputs[0].outputs
    return bool(readers) and all(
        reader.op == "QuantizeLinear"
        or (
            isinstance(rule := target.operators.get(reader.op), Absorbed)
            and node.op in rule.into
            and _is_quantized(reader, target)
        )
        for reader in readers
    )


def _zero_point(node: Node) -> np.ndarray | None:
    """The zero point, whose type is that of the codes; None if it is left out or computed."""
    if len(node.inputs) < 3 or not isinstance(node.inputs[2], Constant):
        return None
    return np.atleast_1d(read(node.inputs[2]))


def _bits(dtype: np.dtype[np.generic]) -> int:
    digits = "".join(character for character in dtype.name if character.isdecimal())
    return int(digits) if digits else dtype.itemsize * 8
