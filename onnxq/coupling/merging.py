"""Operands that are broadcast together: equal positions are one channel.

1. Factors that depend on the same axes are equal, label by label.
2. A factor that depends on fewer axes than another follows it (see `Follow`).
3. An operand of full length on an axis of channels, but without channels there, holds them.
4. An operand of length 1 there is broadcast, and asks for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from onnxq.coupling.factors import DeadArray, Factor, Factors, Source, with_rank
from onnxq.coupling.shapes import Shape
from onnxq.coupling.walk import Walk
from onnxq.graph import Node


@dataclass(frozen=True, eq=False)
class Operand:
    """One of several tensors that are broadcast together.

    Attributes:
        name: Its name.
        shape: Its shape, with as many axes as the result.
        factors: Its factors, likewise.
        value: The number that it is everywhere, NaN if it is none.
    """

    name: str
    shape: Shape
    factors: Factors
    value: float = np.nan


Combine = Callable[[Sequence[DeadArray]], DeadArray]
"""What the result of masked operands is; one array per operand, in order."""


def operand(walk: Walk, name: str, shape: Shape, factors: Factors, rank: int) -> Operand:
    """An operand with axes of length 1 put before its own."""
    wide = tuple(
        Factor(with_rank(f.labels, rank), with_rank(f.dead, rank), f.sources) for f in factors
    )
    value = walk.shapes.values.get(name)
    single = float(value.reshape(-1)[0]) if value is not None and value.size == 1 else np.nan
    return Operand(name, (1,) * (rank - len(shape)) + tuple(shape), wide, single)


def merge(walk: Walk, node: Node, operands: Sequence[Operand], combine: Combine) -> Factors:
    """Factors of the result."""
    settled = [_held(walk, node, one, operands) for one in operands]
    merged: list[list[tuple[int, Factor]]] = []
    for index, factors in enumerate(settled):
        for factor in factors:
            _place(walk, node, merged, index, factor)
    return tuple(_combined(same, operands, combine) for same in merged)


def _place(
    walk: Walk, node: Node, merged: list[list[tuple[int, Factor]]], index: int, factor: Factor
) -> None:
    """Put a factor to those of the same axes."""
    axes = set(factor.axes)
    for same in merged:
        known = same[0][1]
        others = set(known.axes)
        if axes == others and known.labels.shape == factor.labels.shape:
            walk.labels.unite(known.labels, factor.labels)
            same.append((index, factor))
            return
        if not axes & others:
            continue
        reason = f"'{node.name}' ({node.op}) has it with channels of other axes"
        if axes < others:
            walk.follow(factor.labels, known.labels, reason)
            same.append((index, factor))
            return
        if others < axes:
            for other in [f for _, f in same]:
                walk.follow(other.labels, factor.labels, reason)
            same.insert(0, (index, factor))
            return
        walk.freeze([known, factor], reason)
    merged.append([(index, factor)])


def _held(walk: Walk, node: Node, one: Operand, operands: Sequence[Operand]) -> list[Factor]:
    """Factors of an operand after others without channels on their axes have held them."""
    found = []
    for factor in one.factors:
        for other in operands:
            if other is one:
                continue
            covered = {a for f in other.factors for a in f.axes}
            axes = [a for a in factor.axes if other.shape[a] > 1 and a not in covered]
            why = walk.why.get(other.name, "has no channels there")
            reason = f"'{node.name}' ({node.op}) joins it with '{other.name}', which {why}"
            factor = walk.forbid(factor, axes, reason)
        found.append(factor)
    return found


def _combined(
    same: Sequence[tuple[int, Factor]], operands: Sequence[Operand], combine: Combine
) -> Factor:
    """One factor of the result from those of the operands."""
    first = same[0][1]
    by_operand = {index: factor.dead for index, factor in reversed(same)}
    values = [
        np.broadcast_to(by_operand.get(i, np.float64(one.value)), first.labels.shape)
        for i, one in enumerate(operands)
    ]
    with np.errstate(all="ignore"):
        dead = np.asarray(combine(values), np.float64)
    return Factor(first.labels, np.where(np.isfinite(dead), dead, np.nan), _sources(same))


def _sources(same: Sequence[tuple[int, Factor]]) -> tuple[Source, ...]:
    """What a result of constants alone stands for, through all of them."""
    if not all(f.sources for _, f in same):
        return ()
    return tuple(replace(s, direct=False) for _, f in same for s in f.sources)
