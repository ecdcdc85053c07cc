"""Carry factors out: constants are replaced, never changed, because others may read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Constant, Model, Node, Variable, constant, set_input
from onnxq.rules.folding.affine import ZERO, Affine
from onnxq.rules.folding.storing import mapped
from onnxq.rules.scaling.flow import Operand
from onnxq.rules.scaling.labels import LabelArray
from onnxq.rules.scaling.sites import Site

Factors = NDArray[np.float64]


def expanded(factors: Factors, labels: LabelArray) -> Factors:
    """The factor of each element that has a label; 1 where the label is -1."""
    return np.append(factors, 1.0)[labels]


def apply_site(model: Model, site: Site, factors: Factors) -> str:
    """Divide the tensors of a site by factors; why that is impossible, or nothing.

    Nothing is edited where a reason is given.
    """
    found: dict[tuple[int, int], tuple[Operand, Factors]] = {}
    for operand in site.operands:
        # A layer may read and write the same site: its weight takes both factors in.
        key = id(operand.node), operand.index
        own = expanded(factors, operand.labels)
        own = own if operand.exponent > 0 else 1.0 / own
        found[key] = operand, own * found[key][1] if key in found else own
    values: list[tuple[Operand, NDArray[np.generic]]] = []
    for operand, own in found.values():
        tensor = operand.node.inputs[operand.index]
        assert isinstance(tensor, Constant)
        value = mapped(tensor, Affine(own, ZERO))
        if isinstance(value, str):
            return value
        values.append((operand, value))
    for operand, value in values:
        name = f"{operand.node.inputs[operand.index].name}_scaled"
        set_input(operand.node, operand.index, constant(model.new_name(name), value))
    if site.inserted:
        _insert(model, site, factors)
    return ""


def _insert(model: Model, site: Site, factors: Factors) -> None:
    """Let the layers of a site read their tensor through a Mul."""
    ((name, labels),) = site.tensors.items()
    layers: Sequence[Node] = [o.node for o in site.operands]
    tensor = layers[0].inputs[0]
    inverse = (1.0 / expanded(factors, labels)).astype(np.float32)
    while inverse.ndim > 1 and inverse.shape[0] == 1:
        inverse = inverse[0]
    smooth = Variable(model.new_name(f"{name}_smooth"))
    operands = [tensor, constant(model.new_name(f"{name}_factors"), inverse)]
    model.graph.nodes.append(Node("Mul", model.new_name(f"{name}_smoothing"), operands, [smooth]))
    for node in layers:
        set_input(node, 0, smooth)
