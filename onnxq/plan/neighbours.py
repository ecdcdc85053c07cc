"""Who runs in integers given the neighbours: groups, and the largest consistent set.

A weighted operator pays for its conversions by itself. An element-wise or data-moving one
pays only between integer neighbours, so those start as hopeful and are struck out until no
more must be: what remains is the largest set in which each has its reasons.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from onnxq.graph import Constant, Model, Node, Tensor, Variable, only_reader, producer, read
from onnxq.plan.candidates import Candidate, Context
from onnxq.plan.clipping import clipping, overshoot
from onnxq.plan.settings import activation_format, reading_format
from onnxq.quant import PerTensor
from onnxq.targets import Absorbed as AbsorbedRule
from onnxq.targets import Arithmetic, Compute, SameScale, Table

_LARGEST_GAIN = 1e6


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
        gain: By which the last node of the tail multiplies, where scales take that over.
        refusals: Why a node behind it is not absorbed, by name.
    """

    head: Candidate
    tail: tuple[Node, ...]
    bias: Node | None
    outputs: tuple[Tensor, ...]
    low: float | None
    high: float | None
    refusals: Mapping[str, str] = field(default_factory=dict)
    gain: float = 1.0

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All its nodes, in order."""
        return self.head.node, *self.tail

    @property
    def reads_codes(self) -> bool:
        """Whether it takes integers; else it reads float data and writes float data."""
        return bool(self.head.data)

    @property
    def has_only_weights(self) -> bool:
        """Whether it multiplies float data by a weight that is stored in integers."""
        return isinstance(self.head.rule, Compute) and not self.head.data and not self.head.dynamic

    @property
    def data(self) -> list[Tensor]:
        """The tensors the group reads as data."""
        return [self.head.node.inputs[i] for i in self.head.data]


def build_group(
    model: Model, head: Candidate, absorbable: Mapping[str, Candidate], context: Context
) -> Group:
    """Follow the head's output through what the engine absorbs."""
    node = head.node
    reader = only_reader(model, node.outputs[0])
    bias = reader if _adds_bias(head, reader, context) else None
    tail = (bias,) if bias is not None else ()
    if bias is not None:
        reader = only_reader(model, bias.outputs[0])
    clip = absorbable.get(reader.name) if reader is not None else None
    group = Group(head, tail, bias, _ends((node, *tail)), None, None)
    if head.dynamic:
        return replace(group, refusals=_beyond(clip))
    if clip is not None and isinstance(clip.rule, AbsorbedRule) and node.op in clip.rule.into:
        group = _with_clip(group, clip.node, clip.rule, context)
    return _with_gain(model, group, absorbable)


def _beyond(clip: Candidate | None) -> dict[str, str]:
    """Why a Relu or Clip is not absorbed by a product of data that is quantized at run time."""
    if clip is None or not isinstance(clip.rule, AbsorbedRule):
        return {}
    return {clip.node.name: "the node before it finds its ranges at run time and writes float"}


def _with_gain(model: Model, group: Group, candidates: Mapping[str, Candidate]) -> Group:
    """The group with a Mul by a positive constant at its end, which scales take over."""
    reader = only_reader(model, group.outputs[0]) if len(group.outputs) == 1 else None
    mul = None if reader is None else candidates.get(reader.name)
    if mul is None or not isinstance(mul.rule, Arithmetic) or not mul.rule.free_scalar:
        return group
    factor = _positive_scalar(mul.node)
    if factor is None or not writes_codes(group):
        return group
    low, high = (None if end is None else end * factor for end in (group.low, group.high))
    return replace(
        group,
        tail=(*group.tail, mul.node),
        outputs=_ends((mul.node,)),
        low=low,
        high=high,
        gain=factor,
    )


def _positive_scalar(node: Node) -> float | None:
    for tensor in node.inputs:
        # One of higher rank could raise the rank of the result.
        if isinstance(tensor, Constant) and not tensor.overridable and not tensor.stored.shape:
            value = float(read(tensor))
            return value if 0.0 < value < _LARGEST_GAIN else None
    return None


def _with_clip(group: Group, clip: Node, rule: AbsorbedRule, context: Context) -> Group:
    """The group with a Relu or Clip at its end, or with the reason why it stays outside."""
    nodes = (*group.nodes, clip)
    bounds = clipping(clip)
    refusal = "its bounds are unknown or exclude zero"
    if bounds is not None:
        wish = reading_format(clip.outputs[0], context.settings)
        wish = wish or activation_format(nodes, context.settings, context.base)
        scheme = wish.scheme(PerTensor())
        refusal = "" if rule.range == "any" else overshoot(scheme, bounds)
    if bounds is None or refusal:
        return replace(group, refusals={clip.name: refusal})
    return replace(group, tail=nodes[1:], outputs=_ends((clip,)), low=bounds[0], high=bounds[1])


def _ends(nodes: tuple[Node, ...]) -> tuple[Tensor, ...]:
    return tuple(t for t in nodes[-1].outputs if t.name)


def _adds_bias(head: Candidate, reader: Node | None, context: Context) -> bool:
    """Whether a node adds a constant vector along the last axis, as a bias does."""
    if not isinstance(head.rule, Compute) or not head.rule.bias_add:
        return False
    if reader is None or reader.op != "Add" or not reader.standard:
        return False
    if context.settings[reader.name].keep_float or reader.outputs[0].name in context.unavailable:
        return False
    other = reader.inputs[reader.inputs[0] is head.node.outputs[0]]
    weight = head.node.inputs[head.rule.weight]
    return (
        is_vector(other) and isinstance(weight, Constant) and other.size == weight.stored.shape[-1]
    )


def is_vector(tensor: Tensor) -> bool:
    """Whether a tensor is a constant float32 vector, be it written [C] or [1, …, 1, C]."""
    if not isinstance(tensor, Constant) or tensor.overridable or not tensor.stored.shape:
        return False
    return tensor.size == tensor.stored.shape[-1] and tensor.stored.dtype == np.float32


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
    for group in groups:
        if group.has_only_weights:
            state.strike_beside_codes(group)
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
        self.alive_readers: dict[int, int] = {}
        self.read_by_weighted: set[int] = set()
        for group in groups:
            self.alive.add(id(group))
            self.writer.update((id(t), group) for t in group.outputs)
            for tensor in group.data:
                self.readers.setdefault(id(tensor), []).append(group)
                self.alive_readers[id(tensor)] = self.alive_readers.get(id(tensor), 0) + 1
                if isinstance(group.head.rule, Compute):
                    self.read_by_weighted.add(id(tensor))

    def written(self, tensor: Tensor) -> bool:
        """Whether an integer group computes the tensor."""
        group = self.writer.get(id(tensor))
        return group is not None and id(group) in self.alive and group.reads_codes

    def read_by_compute(self, tensor: Tensor) -> bool:
        """Whether a weighted integer group reads the tensor, so that it is quantized anyway.

        Such groups stand alone: none of them is ever struck out.
        """
        return id(tensor) in self.read_by_weighted

    def read(self, tensor: Tensor) -> bool:
        """Whether any integer group reads the tensor."""
        return self.alive_readers.get(id(tensor), 0) > 0

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
        for tensor in group.data:
            self.alive_readers[id(tensor)] -= 1
        self.reasons[group.head.node.name] = reason

    def strike_beside_codes(self, group: Group) -> None:
        """Let a group with weights in blocks stay float if what it reads or writes is quantized.

        Engines take such weights between float tensors only; ONNX Runtime
        fails or computes in float beside others. Nobody's case depends on such a group.
        """
        for tensor in (group.head.node.inputs[0], *group.outputs):
            if self.is_codes(tensor):
                reason = f"has its weight in blocks, but '{tensor.name}' is quantized for others"
                self.strike(group, reason)
                return

    def is_codes(self, tensor: Tensor) -> bool:
        """Whether all readers get a tensor dequantized, since an integer group wants its codes."""
        writer = self.writer.get(id(tensor))
        if writer is None or id(writer) not in self.alive:
            return False
        from_table = isinstance(writer.head.rule, Table)
        return from_table or writes_codes(writer) or self.read(tensor)

    def neighbours(self, group: Group) -> list[Group]:
        """Groups whose case depends on this one."""
        found = [self.writer[id(t)] for t in group.data if id(t) in self.writer]
        for tensor in group.outputs:
            found.extend(self.readers.get(id(tensor), ()))
        return found


def writes_codes(group: Group) -> bool:
    """Whether the outputs of an integer group are quantized even if nobody asks for it."""
    rule = group.head.rule
    if isinstance(rule, Compute | Arithmetic):
        return rule.output == "required" and group.reads_codes
    return isinstance(rule, SameScale)


def dynamic_beside_codes(groups: Iterable[Group]) -> list[Group]:
    """The groups that would quantize at run time what everyone reads dequantized anyway.

    Codes of a fixed scale are in their input already, so that finding a range once more would
    round twice and win nothing.
    """
    alive = [g for g in groups if g.reads_codes]
    read = {id(t) for g in alive for t in g.data}
    codes = {id(t) for g in alive for t in g.outputs if writes_codes(g) or id(t) in read}
    return [g for g in groups if g.head.dynamic and id(g.head.node.inputs[0]) in codes]


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
