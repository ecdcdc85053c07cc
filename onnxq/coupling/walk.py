"""One walk through a model, in which every operator carries the labels of its inputs on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from onnxq.coupling.factors import Factor, Factors, Source, along, zeros
from onnxq.coupling.groups import Leak, Side, Use
from onnxq.coupling.labels import LabelArray, Labels
from onnxq.coupling.shapes import Shape, Shapes
from onnxq.graph import Model, Node, Tensor, bodies


@dataclass(frozen=True, eq=False)
class Follow:
    """Labels that are those of a larger array, if that comes to depend on their axes only.

    Attributes:
        labels: The labels, broadcast to the array.
        array: The array.
        reason: Why the labels stay otherwise.
    """

    labels: LabelArray
    array: LabelArray
    reason: str


class Walk:
    """The labels found so far.

    Attributes:
        model: The model.
        shapes: Its shapes.
        labels: The labels.
        carried: Factors by tensor name.
        sites: Labels [n] along an axis of a constant.
        uses: How nodes use constants.
        leaks: Layers that may read something else than zero from a masked channel.
        follows: What depends on how tensors with several axes of channels are cut.
        hidden: Labels of hidden units of recurrent layers.
        parts: Labels of what was cut out of a tensor: something must be left of each.
        why: Why a tensor has no channels, by name, where that is worth telling.
    """

    def __init__(self, model: Model, shapes: Shapes) -> None:
        self.model, self.shapes = model, shapes
        self.labels = Labels()
        self.carried: dict[str, Factors] = {}
        self.sites: dict[tuple[str, int], LabelArray] = {}
        self.uses: list[Use] = []
        self.leaks: list[Leak] = []
        self.follows: list[Follow] = []
        self.hidden: list[LabelArray] = []
        self.parts: list[LabelArray] = []
        self.why: dict[str, str] = {t.name: "comes from outside" for t in model.inputs}

    def shape(self, tensor: Tensor) -> Shape | None:
        """Shape of a tensor, if it is wholly known."""
        return self.shapes.shape(tensor)

    def factors(self, tensor: Tensor) -> Factors:
        """Factors of a tensor; those of a constant are made when first asked for."""
        known = self.carried.get(tensor.name)
        if known is None and self.shapes.is_constant(tensor):
            known = self.carried[tensor.name] = self._of_constant(tensor)
        return known or ()

    def flowing(self, node: Node, index: int, *, masked: bool = True) -> Factors:
        """Factors of an input that goes on as it is; a constant becomes a member of its own."""
        if len(node.inputs) <= index or not node.inputs[index].name:
            return ()
        found = self.factors(node.inputs[index])
        for factor in found:
            self.use(factor, Side.BESIDE, node, masked=masked)
        return found

    def use(self, factor: Factor, side: Side, node: Node, *, masked: bool) -> None:
        """Note that a node uses the constants behind a factor."""
        for source in factor.sources:
            place = source.constant, source.axis
            self.uses.append(Use(*place, side, node.name, node.op, masked, source.zero_point))

    def emit(self, tensor: Tensor, factors: Sequence[Factor]) -> None:
        """A node's output has these factors; a single channel must stay."""
        kept = tuple(f for f in factors if f.axes)
        self.freeze([f for f in factors if not f.axes], f"it is all that '{tensor.name}' holds")
        if kept and tensor.name:
            self.carried[tensor.name] = kept

    def cut(self, factor: Factor) -> Factor:
        """Note that a factor is a part of another."""
        self.parts.append(factor.labels)
        return factor

    def freeze(self, factors: Sequence[Factor], reason: str) -> None:
        """Channels must stay."""
        for factor in factors:
            if factor.labels.size:
                self.labels.freeze(factor.labels, reason)

    def forbid(self, factor: Factor, axes: Sequence[int], reason: str) -> Factor:
        """A factor must not depend on some axes.

        Returns:
            The factor tied over them; frozen, as it was, if it depended on no others.
        """
        wrong = [a for a in factor.axes if a in axes]
        if not wrong:
            return factor
        if len(wrong) == len(factor.axes):
            self.freeze([factor], reason)
            return factor
        tied, dead = factor.labels, factor.dead
        for axis in wrong:
            tied = self.labels.tie(tied, axis)
            first = dead.take([0], axis)
            same = (first == dead).all(axis, keepdims=True)
            dead = np.where(same, first, np.nan)
        return replace(factor, labels=tied, dead=dead)

    def follow(self, labels: LabelArray, array: LabelArray, reason: str) -> None:
        """Decide later whether labels are those of an array that depends on more axes."""
        self.follows.append(Follow(labels, array, reason))

    def _of_constant(self, tensor: Tensor) -> Factors:
        shape = tuple(self.shapes.constants[tensor.name].shape)
        made = []
        for axis, length in enumerate(shape):
            if length > 1:
                labels = self.sites[tensor.name, axis] = self.labels.fresh(length)
                source = Source(tensor.name, axis)
                made.append(zeros(along(labels, axis, len(shape)), (source,)))
        return tuple(made)


Handler: TypeAlias = Callable[[Walk, Node], None]
"""Carries the labels of a node's inputs to its outputs."""


def walk_model(model: Model, shapes: Shapes, handlers: Mapping[str, Handler]) -> Walk:
    """Carry labels through all nodes in order, and freeze what leaves the model."""
    walk = Walk(model, shapes)
    for node in model.nodes:
        handler = handlers.get(node.op) if node.standard else None
        if bodies(node) or handler is None:
            stop(walk, node, "is not followed")
        else:
            handler(walk, node)
    for tensor in model.outputs:
        walk.freeze(walk.factors(tensor), f"'{tensor.name}' is an output of the model")
    return walk


def stop(walk: Walk, node: Node, why: str) -> None:
    """Freeze all that a node reads."""
    outside = {id(t): t for body in bodies(node) for n in body.nodes for t in n.inputs}
    for tensor in (*node.inputs, *outside.values()):
        if tensor.name:
            walk.freeze(walk.factors(tensor), f"'{node.name}' ({node.op}) {why}")
    for tensor in node.outputs:
        walk.why[tensor.name] = f"comes from '{node.name}' ({node.op})"
