"""Transposes are moved through operators that do not mind, where some of them cancel.

A region is a set of operators that may work on the axes before a Transpose as well as after it
(see `layouts`). Let it do so:

1. Transposes of the same order that lead into the region, and of the inverse order that lead
   out of it, are gone; constants that it reads are permuted.
2. What else leads into the region gets the inverse Transpose, what else leads out of it the
   Transpose; a Transpose of another order that leads out takes both in one.

Done only if fewer Transposes move data, and no more elements than before (a free dimension counts
as 32), or as many move data and fewer move only axes of length 1. Two regions are tried: all that
is connected, and only what is fed by such Transposes alone. Both are bounded in size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from onnxq.graph import Constant, Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.cleaning.layouts import Permutable, inverse, permutable, permuted_back
from onnxq.rules.cleaning.merge_transposes import order_of
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_MOST_NODES = 64
_FREE = 32


@dataclass(frozen=True)
class CancelTransposes(Rule):
    """Move Transposes to where they cancel."""

    operators: ClassVar[frozenset[str]] = frozenset(["Transpose"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Find a region behind a Transpose that is better off without it."""
        order = order_of(work, node)
        if order is None or order == sorted(order) or work.readers(node.outputs[0]) is None:
            return None
        near: Refused | None = None
        for everything in (True, False):
            region = _grown(work, node, order, everything)
            if region is None or not region.nodes:
                continue
            gone, new = region.balance()
            if gone > new and region.normalises():
                near = Refused(node.name, "normalisations are recognised on the last axis only")
            elif gone > new and region.volume() <= 0:
                region.commit()
                names = ", ".join(n.name for n in list(region.nodes.values())[:3])
                return Applied(node.name, f"{gone - new} Transpose(s) cancelled around {names}")
            elif gone > 1:
                near = Refused(node.name, f"{gone} Transposes would go, but {new} come")
        return near


@dataclass
class _Region:
    """Operators that will work on the axes before a Transpose.

    Attributes:
        work: The model.
        order: The order of the Transpose.
        nodes: The operators, by identity.
        kinds: How each is permuted.
    """

    work: Workspace
    order: list[int]
    nodes: dict[int, Node] = field(default_factory=dict)
    kinds: dict[int, Permutable] = field(default_factory=dict)

    def outside(self) -> dict[int, Tensor]:
        """What the region reads from outside, but for constants."""
        inside = {id(t) for node in self.nodes.values() for t in node.outputs}
        read = (t for key, node in self.nodes.items() for t in self.kinds[key].data(node))
        return {id(t): t for t in read if id(t) not in inside and self.work.value(t) is None}

    def sources(self) -> list[Node]:
        """Transposes of the region's order that lead into it."""
        producers = (self.work.producer(t, "Transpose") for t in self.outside().values())
        return [p for p in producers if p is not None and order_of(self.work, p) == self.order]

    def doomed(self) -> list[Node]:
        """Those of them that nobody else reads."""
        return [s for s in self.sources() if self._feeds_only_this(s.outputs[0])]

    def entries(self) -> list[Tensor]:
        """What needs the inverse Transpose."""
        done = {id(s.outputs[0]) for s in self.sources()}
        return [t for key, t in self.outside().items() if key not in done]

    def exits(self) -> list[tuple[Tensor, list[Node]]]:
        """What is read outside, and by whom, but for Transposes."""
        found = []
        for tensor in self._results():
            readers = [r for r in self._readers(tensor) if r.op != "Transpose"]
            if readers:
                found.append((tensor, readers))
        return found

    def turns(self) -> list[tuple[Tensor, Node, list[int]]]:
        """Transposes that lead out of the region, with what each reads, and its new order."""
        found = []
        for tensor in self._results():
            for reader in self._readers(tensor):
                after = order_of(self.work, reader) if reader.op == "Transpose" else None
                if after is not None:
                    found.append((tensor, reader, [self.order[a] for a in after]))
        return found

    def balance(self) -> tuple[int, int]:
        """How many Transposes go, and how many come: those that move data, if any do."""
        gone, new = self._moved()
        data = [t for t in gone if self._moves(t)], [t for t in new if self._moves(t)]
        if len(data[0]) != len(data[1]):
            gone, new = data
        return len(gone), len(new)

    def volume(self) -> int:
        """How many more elements are moved."""
        gone, new = ([t for t in side if self._moves(t)] for side in self._moved())
        return sum(map(self._size, new)) - sum(map(self._size, gone))

    def _moved(self) -> tuple[list[Tensor], list[Tensor]]:
        """Tensors that are transposed no more, and tensors that will be."""
        gone = [s.outputs[0] for s in self.doomed()]
        gone += [tensor for tensor, _, order in self.turns() if order == sorted(order)]
        new = [t for t in self.entries() if not self._is_merged(t)]
        return gone, new + [tensor for tensor, _ in self.exits()]

    def _moves(self, tensor: Tensor) -> bool:
        """Whether transposing a tensor moves data, not only axes of length 1."""
        shape = self.work.shape(tensor)
        if shape is None:
            return True
        long = [axis for axis in inverse(self.order) if shape[axis] != 1]
        return long != sorted(long)

    def normalises(self) -> bool:
        """Whether there is a mean and a square root: engines fuse such on the last axis only."""
        operators = {node.op for node in self.nodes.values()}
        return "ReduceMean" in operators and "Sqrt" in operators

    def commit(self) -> None:
        """Permute the region."""
        turns, exits, back = self.turns(), self.exits(), inverse(self.order)
        replaced = {id(s.outputs[0]): s.inputs[0] for s in self.sources()}
        for tensor in self.entries():
            replaced[id(tensor)] = self._transposed(tensor, back)
        for key, node in self.nodes.items():
            self._permute(node, self.kinds[key], replaced)
        for tensor in self._results():
            shape = self.work.shape(tensor)
            if shape is not None:
                self.work.set_type(tensor, tuple(shape[a] for a in back))
        for tensor, readers in exits:
            self._read_instead(readers, tensor, self._transposed(tensor, self.order))
        # A result of the model takes the place of the tensor it is substituted by: such last.
        for tensor, reader, order in sorted(
            turns, key=lambda t: self.work.is_held(t[1].outputs[0])
        ):
            if order == sorted(order) and not self.work.obstacle(reader.outputs[0], tensor):
                self.work.substitute(reader.outputs[0], tensor)
            else:
                self.work.change(reader, perm=order)

    def _read_instead(self, readers: list[Node], old: Tensor, new: Tensor) -> None:
        for reader in readers:
            for index, tensor in enumerate(reader.inputs):
                if tensor is old:
                    self.work.rewire(reader, index, new)

    def _permute(self, node: Node, kind: Permutable, replaced: dict[int, Tensor]) -> None:
        for index, tensor in enumerate(node.inputs[: kind.operands]):
            if isinstance(tensor, Constant) and tensor.name:
                name = f"{tensor.name}_permuted"
                self.work.rewire(node, index, permuted_back(self.work, tensor, self.order, name))
            elif id(tensor) in replaced:
                self.work.rewire(node, index, replaced[id(tensor)])
        kind.permute(self.work, node, self.order)

    def _transposed(self, tensor: Tensor, order: list[int]) -> Tensor:
        shape = self.work.shape(tensor)
        moved = None if shape is None else tuple(shape[a] for a in order)
        name = f"{tensor.name}_transposed"
        return self.work.add("Transpose", [tensor], name=name, attrs={"perm": order}, shape=moved)

    def _results(self) -> list[Tensor]:
        return [t for node in self.nodes.values() for t in node.outputs if t.name]

    def _readers(self, tensor: Tensor) -> list[Node]:
        return [r for r in self.work.readers(tensor) or () if id(r) not in self.nodes]

    def _feeds_only_this(self, tensor: Tensor) -> bool:
        readers = self.work.readers(tensor)
        return readers is not None and all(id(r) in self.nodes for r in readers)

    def _is_merged(self, tensor: Tensor) -> bool:
        """Whether an inverse Transpose merges with a Transpose before it."""
        first = self.work.producer(tensor, "Transpose")
        return first is not None and self._feeds_only_this(tensor)

    def _size(self, tensor: Tensor) -> int:
        size = 1
        for dimension in self.work.shape(tensor) or ():
            size *= dimension if isinstance(dimension, int) else _FREE
        return size


def _grown(work: Workspace, start: Node, order: list[int], everything: bool) -> _Region | None:
    """The region behind a Transpose; None if it is too large."""
    region = _Region(work, order)
    pending = list(work.readers(start.outputs[0]) or ())
    while pending:
        node = pending.pop()
        kind = None if id(node) in region.nodes else permutable(work, node, len(order))
        if kind is None or not (everything or _is_fed(region, node, kind)):
            continue
        if len(region.nodes) == _MOST_NODES:
            return None
        region.nodes[id(node)], region.kinds[id(node)] = node, kind
        for tensor in node.outputs:
            pending.extend(work.readers(tensor) or () if tensor.name else ())
        if everything:
            pending.extend(n for t in kind.data(node) for n in t.inputs)
    return region


def _is_fed(region: _Region, node: Node, kind: Permutable) -> bool:
    """Whether all that varies in a node's operands comes from the region or such Transposes."""
    work = region.work
    for tensor in kind.data(node):
        producer = work.producer(tensor)
        if work.value(tensor) is not None or (producer and id(producer) in region.nodes):
            continue
        if producer is None or producer.op != "Transpose":
            return False
        if order_of(work, producer) != region.order:
            return False
    return True
