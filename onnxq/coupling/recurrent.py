"""LSTM, GRU and RNN: one hidden unit is a row of every gate, in both directions.

A unit whose rows are zero stays zero: with g(0) = 0, LSTM gives c = f·c₀ + i·g(0) and
h = o·g(c), GRU gives h = (1 - z)·g(0) + z·h₀, RNN gives h = g(0), all zero if they start so.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onnxq.coupling.factors import Factor, zeros
from onnxq.coupling.groups import Side
from onnxq.coupling.labels import LabelArray
from onnxq.coupling.leaking import leak
from onnxq.coupling.walk import Walk, stop
from onnxq.graph import Node

_GATES: Mapping[str, int] = {"LSTM": 4, "GRU": 3, "RNN": 1}
_ODD = frozenset(["Elu", "LeakyRelu", "Relu", "ScaledTanh", "Softsign", "Tanh"])
"""Activations that are zero at zero."""
_STATES = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}
_W, _R, _B, _P = 1, 2, 3, 7


def pass_recurrent(walk: Walk, node: Node) -> None:
    """Tie the rows of each unit, and its place in whatever the layer gives."""
    weights = [node.inputs[i] for i in (_W, _R, _B, _P) if walk.shapes.input(node, i) is not None]
    shape = walk.shape(node.inputs[_R])
    why = _obstacle(node)
    if shape is None or not all(walk.shapes.is_constant(t) for t in weights):
        why = "has a weight that is computed, or an unknown shape"
    if why or shape is None:
        stop(walk, node, why)
        return
    units = walk.labels.fresh(shape[2])
    if shape[2] > 1:
        walk.hidden.append(units)
    gates = _GATES[node.op]
    _rows(walk, node, _W, 1, units, gates, Side.OUTPUT)
    _rows(walk, node, _R, 1, units, gates, Side.OUTPUT)
    _rows(walk, node, _R, 2, units, 1, Side.INPUT)
    _rows(walk, node, _B, 1, units, 2 * gates, Side.BESIDE)
    _rows(walk, node, _P, 1, units, 3, Side.BESIDE)
    _read(walk, node)
    for index in _STATES[node.op]:
        _starts(walk, node, index, units)
    for place, tensor in enumerate(node.outputs):
        rank = 4 if place == 0 else 3
        walk.emit(tensor, [zeros(units.reshape((1,) * (rank - 1) + (-1,)))])


def _obstacle(node: Node) -> str:
    if node.attrs.get("layout", 0):
        return "has the batch first"
    given = node.attrs.get("activations", ())
    per_direction = {"LSTM": 3, "GRU": 2, "RNN": 1}[node.op]
    # The first activation of LSTM and GRU is that of gates, which zero may open.
    odd = [a for i, a in enumerate(given) if node.op == "RNN" or i % per_direction]
    if not all(a in _ODD for a in odd):
        return "has an activation that is not zero at zero"
    return ""


def _factor(walk: Walk, node: Node, index: int, axis: int) -> Factor | None:
    tensor = walk.shapes.input(node, index)
    if tensor is None:
        return None
    return next((f for f in walk.factors(tensor) if f.axes == (axis,)), None)


def _rows(
    walk: Walk, node: Node, index: int, axis: int, units: LabelArray, times: int, side: Side
) -> None:
    """Rows of the gates, one after another, belong to the units."""
    factor = _factor(walk, node, index, axis)
    if factor is None:
        return
    walk.labels.unite(factor.labels.reshape(times, -1), units[None])
    walk.use(factor, side, node, masked=side is not Side.INPUT)


def _read(walk: Walk, node: Node) -> None:
    """What the layer reads is one channel in data and weight."""
    weight = _factor(walk, node, _W, 2)
    name = node.inputs[0].name
    read = None
    for factor in walk.flowing(node, 0):
        reason = f"'{node.name}' ({node.op}) walks over it"
        factor = walk.forbid(factor, [0, 1], reason)
        read = factor if factor.axes == (2,) else read
    if weight is None:
        if read is not None:
            walk.freeze([read], f"'{node.name}' ({node.op}) reads it as a whole")
        return
    walk.use(weight, Side.INPUT, node, masked=False)
    if read is None:
        why = walk.why.get(name, "has no channels of its own")
        walk.freeze([weight], f"'{name}' {why}")
        return
    walk.labels.unite(read.labels.reshape(-1), weight.labels.reshape(-1))
    leak(walk, node, read.labels.reshape(-1), read.dead.reshape(-1), weight)


def _starts(walk: Walk, node: Node, index: int, units: LabelArray) -> None:
    """The first state of a unit that goes must be zero."""
    tensor = walk.shapes.input(node, index)
    if tensor is None:
        return
    found = [f for f in walk.flowing(node, index) if 2 in f.axes]
    if len(found) != 1:
        walk.labels.freeze(units, f"'{tensor.name}', where '{node.name}' starts, is computed")
        return
    factor = walk.forbid(found[0], [0, 1], f"'{node.name}' ({node.op}) starts from it")
    walk.labels.unite(factor.labels.reshape(-1), units)
    if np.any(factor.dead != 0):
        walk.labels.freeze(units, f"'{node.name}' ({node.op}) does not start from zero")
