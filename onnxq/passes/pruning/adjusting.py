"""What nodes say about channels: groups, split sizes, slices, indices, target shapes.

Every rule gets a node whose constants and inputs are cut already, and changes what it says so
that it gives the shape that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from onnxq.coupling.arithmetic import slice_bounds, target_shape
from onnxq.errors import PreconditionError
from onnxq.graph import Constant, Model, Node, Tensor, constant, read, set_input
from onnxq.passes.pruning.patching import patch
from onnxq.passes.pruning.predicting import Prediction
from onnxq.passes.pruning.removal import Removal


@dataclass(frozen=True, eq=False)
class At:
    """A node to change.

    Attributes:
        model: The model.
        node: The node.
        removal: What goes.
        prediction: What the graph's own shape arithmetic will give.
    """

    model: Model
    node: Node
    removal: Removal
    prediction: Prediction

    def was(self, tensor: Tensor) -> tuple[int, ...] | None:
        """The shape of a tensor before."""
        return self.removal.grouping.flow.shapes.shape(tensor)

    def becomes(self, tensor: Tensor) -> tuple[int, ...] | None:
        """The shape of a tensor afterwards."""
        return self.removal.shape(tensor)

    def given(self, index: int) -> list[int]:
        """The integers that input `index` will hold.

        Raises:
            PreconditionError: if they are not known.
        """
        found = self.prediction.integers(self.node, index)
        if found is None:
            raise self.refusal(f"what '{self.node.inputs[index].name}' holds is not known")
        return found

    def refusal(self, why: str) -> PreconditionError:
        """That channels cannot be removed around this node."""
        return PreconditionError(
            "channels cannot be removed here",
            where=f"node '{self.node.name}' ({self.node.op})",
            why=why,
            remedy="simplify the model first, or leave this group out",
        )


Rule: TypeAlias = Callable[[At], None]


def adjust(model: Model, node: Node, removal: Removal, prediction: Prediction) -> None:
    """Change what a node says about channels."""
    rule = RULES.get(node.op) if node.standard else None
    if rule is not None:
        rule(At(model, node, removal, prediction))


def _groups(at: At) -> None:
    """A convolution with one channel per group has as many groups as channels."""
    groups = int(at.node.attrs.get("group", 1))
    before, after = at.was(at.node.inputs[0]), at.becomes(at.node.inputs[0])
    if groups > 1 and before is not None and after is not None and before[1] == groups:
        at.node.attrs["group"] = after[1]


def _reshape(at: At) -> None:
    """Numbers of the target that are channels; 0 and -1 stay where they still fit."""
    node = at.node
    before, wanted, was = (
        at.becomes(node.inputs[0]),
        at.becomes(node.outputs[0]),
        at.was(node.outputs[0]),
    )
    if before is None or wanted is None or was is None:
        return
    if len(node.inputs) > 1:
        given = at.given(1)
        patch(at.model, node, 1, _corrections(at, before, given, wanted, was), len(given))
    else:
        given = list(node.attrs["shape"])
        numbers = _corrections(at, before, given, wanted, was)
        node.attrs["shape"] = [numbers.get(i, g) for i, g in enumerate(given)]


def _corrections(
    at: At, before: Sequence[int], given: Sequence[int], wanted: Sequence[int], was: Sequence[int]
) -> dict[int, int]:
    """Numbers of a Reshape's target that must change."""
    said = {i: w for i, w in enumerate(wanted) if given[i] not in (-1, 0) and w != given[i]}
    # A copied dimension, or one left to be found, may be channels now of another number.
    changed = {i: w for i, (w, old) in enumerate(zip(wanted, was, strict=True)) if w != old}
    for numbers in ({}, said, said | changed):
        mended = [numbers.get(i, g) for i, g in enumerate(given)]
        if _resolved(at.node, before, mended) == list(wanted):
            return numbers
    raise at.refusal("its target shape cannot be changed to fit")


def _resolved(node: Node, before: Sequence[int], given: Sequence[int]) -> list[int] | None:
    try:
        return target_shape(node, before, given)
    except (ValueError, IndexError):
        return None


def _expand(at: At) -> None:
    """Channels that are there already are asked for as 1, which Expand leaves as it is."""
    before, wanted = at.becomes(at.node.inputs[0]), at.becomes(at.node.outputs[0])
    if before is None or wanted is None:
        return
    given = at.given(1)
    padded = (1,) * (len(wanted) - len(before)) + tuple(before)
    offset = len(wanted) - len(given)
    numbers = {}
    for place, number in enumerate(given):
        have, want = padded[place + offset], wanted[place + offset]
        if want != number and not (number == 1 and have == want):
            numbers[place] = 1 if have == want else want
    patch(at.model, at.node, 1, numbers, len(given))


def _filled(at: At) -> None:
    """ConstantOfShape."""
    wanted = at.becomes(at.node.outputs[0])
    if wanted is not None and at.removal.kept(at.node.outputs[0]):
        _say(at, 0, wanted)


def _sizes(at: At) -> None:
    """Resize to sizes."""
    wanted = at.becomes(at.node.outputs[0])
    given = at.prediction.integers(at.node, 3)
    if wanted is not None and given is not None and len(given) == len(wanted):
        _say(at, 3, wanted)


def _say(at: At, index: int, wanted: Sequence[int]) -> None:
    """Let an input say these numbers."""
    given = at.given(index)
    numbers = {i: w for i, (w, g) in enumerate(zip(wanted, given, strict=True)) if w != g}
    patch(at.model, at.node, index, numbers, len(wanted))


def _split(at: At) -> None:
    node = at.node
    shape, parts = at.was(node.inputs[0]), [at.becomes(t) for t in node.outputs]
    if shape is None:
        return
    axis = node.attrs.get("axis", 0) % len(shape)
    wanted = [p[axis] for p in parts if p is not None]
    if axis not in at.removal.kept(node.inputs[0]) or len(wanted) < len(parts):
        return
    if "split" in node.attrs or (at.model.opset < 13 and len(set(wanted)) > 1):
        node.attrs["split"] = wanted
    elif len(node.inputs) > 1 and node.inputs[1].name:
        _say(at, 1, wanted)
    elif len(set(wanted)) > 1:
        node.attrs.pop("num_outputs", None)
        name = at.model.new_name(f"{node.name}_split")
        set_input(node, 1, constant(name, np.asarray(wanted, np.int64)))


def _slice(at: At) -> None:
    """Bounds among channels: so many stay before the start, and so many up to the end."""
    node, kept, shape = at.node, at.removal.kept(at.node.inputs[0]), at.was(at.node.inputs[0])
    if not kept or shape is None:
        return
    bounds = slice_bounds(node, at.removal.grouping.flow.shapes.inputs(node), len(shape))
    if bounds is None:
        raise at.refusal("its bounds are not known")
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    for place, (axis, (start, end, _)) in enumerate(bounds.items()):
        if axis in kept:
            first, last, _ = slice(start, end).indices(shape[axis])
            starts[place] = int(kept[axis][:first].sum())
            ends[place] = starts[place] + int(kept[axis][first : max(first, last)].sum())
    for index, name, numbers in ((1, "starts", starts), (2, "ends", ends)):
        if len(node.inputs) > 1:
            patch(at.model, node, index, numbers, len(bounds))
        else:
            node.attrs[name] = [numbers.get(i, v) for i, v in enumerate(node.attrs[name])]


def _gather(at: At) -> None:
    """Constant indices name the channels that are left by their new numbers."""
    shape = at.was(at.node.inputs[0])
    if shape is None:
        return
    axis = at.node.attrs.get("axis", 0) % len(shape)
    kept = at.removal.kept(at.node.inputs[0]).get(axis)
    if kept is None:
        return
    indices = at.node.inputs[1]
    assert isinstance(indices, Constant)
    value = read(indices) % shape[axis]
    renumbered = (np.cumsum(kept) - 1)[value[kept[value]]]
    name = at.model.new_name(f"{indices.name}_pruned")
    set_input(at.node, 1, constant(name, renumbered.astype(value.dtype)))


def _hidden(at: At) -> None:
    """The hidden size of a recurrent layer is that of its recurrent weight."""
    weight = at.becomes(at.node.inputs[2])
    if weight is not None and "hidden_size" in at.node.attrs:
        at.node.attrs["hidden_size"] = weight[2]


RULES: Mapping[str, Rule] = {
    "ConstantOfShape": _filled,
    "Conv": _groups,
    "ConvTranspose": _groups,
    "Expand": _expand,
    "GRU": _hidden,
    "Gather": _gather,
    "LSTM": _hidden,
    "RNN": _hidden,
    "Reshape": _reshape,
    "Resize": _sizes,
    "Slice": _slice,
    "Split": _split,
}

SHAPE_OPERANDS: Mapping[str, frozenset[int]] = {
    "ConstantOfShape": frozenset([0]),
    "Expand": frozenset([1]),
    "Reshape": frozenset([1]),
    "Resize": frozenset([3]),
    "Slice": frozenset([1, 2, 3, 4]),
    "Split": frozenset([1]),
}
"""Inputs that say a shape: their numbers may change with the channels."""
