"""Who runs in integers given the neighbours: groups, and the largest consistent set.

A weighted operator pays for its conversions by itself. An element-wise or data-moving one
pays only between integer neighbours, so those start as hopeful and are struck out until no
more must be: what remains is the largest set in which each has its reasons.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onnxq.graph import Constant, Model, Node, Tensor, Variable, only_reader, producer, read
from onnxq.plan.candidates import Candidate
from onnxq.targets import Absorbed, Arithmetic, Compute, SameScale, Table


@dataclass(frozen=True)
class Group:
    """A candidate and what the engine absorbs into it.

    Attributes:
        head: The candidate.
        tail: Absorbed nodes after it, in order.
        bias: The node among them that adds the bias, if it is a separate Add.
        outputs: The tensors in which the group ends.
        low: Where a Relu or Clip in the tail cuts the range off below.
        high: Likewise above.
    """

    head: Candidate
    tail: tuple[Node, ...]
    bias: Node | None
    outputs: tuple[Tensor, ...]
    low: float | None
    high: float | None

    @property
    def data(self) -> list[Tensor]:
        """The tensors the group reads as data."""
        return [self.head.node.inputs[i] for i in self.head.data]


def build_group(model: Model, head: Candidate, absorbable: Mapping[str, Candidate]) -> Group:
    """Follow the head's output through what the engine absorbs."""
    node, tail, bias = head.node, [], None
    low: float | None = None
    high: float | None = None
    end: Tensor = node.outputs[0]
    reader = only_reader(model, end)
    if isinstance(head.rule, Compute) and head.rule.bias_add and _adds_vector(reader, end):
        assert reader is not None
        tail, bias, end = [reader], reader, reader.outputs[0]
        reader = only_reader(model, end)
    clip = absorbable.get(reader.name) if reader is not None else None
    if clip is not None and isinstance(clip.rule, Absorbed) and node.op in clip.rule.into:
        bounds = clipping(clip.node)
        if bounds is not None and not isinstance(head.rule, SameScale):
            low, high = bounds
            tail, end = [*tail, clip.node], clip.node.outputs[0]
    outputs = node.outputs if not tail else [end]
    return Group(head, tuple(tail), bias, tuple(t for t in outputs if t.name), low, high)


def _adds_vector(reader: Node | None, tensor: Tensor) -> bool:
    """Whether a node adds a constant vector along the last axis, as a bias does."""
    if reader is None or reader.op != "Add" or not reader.standard:
        return False
    other = reader.inputs[1] if reader.inputs[0] is tensor else reader.inputs[0]
    return is_vector(other)


def is_vector(tensor: Tensor) -> bool:
    """Whether a tensor is a constant float32 vector, be it written [C] or [1, …, 1, C]."""
    if not isinstance(tensor, Constant) or tensor.overridable or not tensor.stored.shape:
        return False
    return tensor.size == tensor.stored.shape[-1] and tensor.stored.dtype == np.float32


def clipping(node: Node) -> tuple[float | None, float | None] | None:
    """The bounds of Relu or Clip; None if they are unknown or exclude zero."""
    if node.op == "Relu":
        return 0.0, None
    bounds = [_bound(node, 1, "min"), _bound(node, 2, "max")]
    if "unknown" in bounds:
        return None
    low, high = (None if bound is None else float(bound) for bound in bounds)
    if (low is not None and low > 0) or (high is not None and high <= 0):
        return None
    return low, high


def _bound(node: Node, index: int, attribute: str) -> float | str | None:
    """A bound of Clip: an attribute before opset 11, an input since."""
    if attribute in node.attrs:
        value = float(node.attrs[attribute])
        return value if abs(value) < 3e38 else None
    if len(node.inputs) <= index or not node.inputs[index].name:
        return None
    tensor = node.inputs[index]
    if not isinstance(tensor, Constant) or tensor.overridable or tensor.size != 1:
        return "unknown"
    value = float(read(tensor).reshape(-1)[0])
    return value if abs(value) < 3e38 else None


def choose_groups(groups: Sequence[Group]) -> tuple[list[Group], dict[str, str]]:
    """The largest consistent set of groups, and why the others stay float.

    Args:
        groups: All groups, in topological order.

    Returns:
        The groups that run in integers, and the reasons by the name of the head.
    """
    state = _State(groups)
    queue = deque(g for g in groups if not _stands_alone(g))
    waiting = {id(g) for g in queue}
    while queue:
        group = queue.popleft()
        waiting.discard(id(group))
        if id(group) not in state.alive:
            continue
        reason = state.lacks(group)
        if not reason:
            continue
        state.strike(group, reason)
        for neighbour in state.neighbours(group):
            if id(neighbour) not in waiting and not _stands_alone(neighbour):
                waiting.add(id(neighbour))
                queue.append(neighbour)
    return [g for g in groups if id(g) in state.alive], state.reasons


def _stands_alone(group: Group) -> bool:
    rule = group.head.rule
    return isinstance(rule, Compute | Table) or (
        isinstance(rule, Arithmetic | SameScale) and rule.when == "always"
    )


class _State:
    """Who is alive, who writes and who reads each tensor as integer data."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self.alive: set[int] = set()
        self.reasons: dict[str, str] = {}
        self.writer: dict[int, Group] = {}
        self.readers: dict[int, list[Group]] = {}
        for group in groups:
            self.alive.add(id(group))
            self.writer.update((id(t), group) for t in group.outputs)
            for tensor in group.data:
                self.readers.setdefault(id(tensor), []).append(group)

    def written(self, tensor: Tensor) -> bool:
        """Whether an integer group computes the tensor."""
        group = self.writer.get(id(tensor))
        # Rows of a table come out dequantized: they are float to whoever reads them.
        return group is not None and id(group) in self.alive and _yields_codes(group)

    def read_by_compute(self, tensor: Tensor) -> bool:
        """Whether a weighted integer group reads the tensor, so that it is quantized anyway."""
        return any(
            id(g) in self.alive and isinstance(g.head.rule, Compute)
            for g in self.readers.get(id(tensor), ())
        )

    def read(self, tensor: Tensor) -> bool:
        """Whether any integer group reads the tensor."""
        return any(id(g) in self.alive for g in self.readers.get(id(tensor), ()))

    def lacks(self, group: Group) -> str:
        """What an element-wise or data-moving group lacks to pay off, or nothing."""
        data = [t for t in group.data if isinstance(t, Variable) and t.name]
        if not any(self.written(t) for t in data):
            return "no integer operator before it, so quantizing its inputs would only cost"
        for tensor in data:
            if not self.written(tensor) and not self.read_by_compute(tensor):
                return f"its input '{tensor.name}' is float"
        if not any(self.read(t) for t in group.outputs):
            return "no integer operator after it reads the result"
        return ""

    def strike(self, group: Group, reason: str) -> None:
        """Let a group stay float."""
        self.alive.discard(id(group))
        self.reasons[group.head.node.name] = reason

    def neighbours(self, group: Group) -> list[Group]:
        """Groups whose case depends on this one."""
        found = [self.writer[id(t)] for t in group.data if id(t) in self.writer]
        for tensor in (*group.outputs, *group.data):
            found.extend(self.readers.get(id(tensor), ()))
        return found


def _yields_codes(group: Group) -> bool:
    return not isinstance(group.head.rule, Table)


def fused_branch(node: Node, writers: Mapping[int, Group]) -> int | None:
    """The input of an Add that comes straight from a weighted operator and only goes there."""
    for index, tensor in enumerate(node.inputs):
        group = writers.get(id(tensor))
        source = producer(tensor)
        if group is None or source is None or len(tensor.outputs) != 1:
            continue
        if isinstance(group.head.rule, Compute) and source is group.head.node:
            return index
    return None
