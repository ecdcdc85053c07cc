"""Where factors can be chosen: each site is a set of tensors that one vector of factors divides."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from onnxq.graph import Model, Node, Variable
from onnxq.passes.dimensions import know
from onnxq.rules.folding.affine import varying
from onnxq.rules.scaling.flow import Flow, Operand
from onnxq.rules.scaling.labels import FIXED, LabelArray, Labels, along_axis
from onnxq.rules.scaling.layers import is_layer, seed_axis, seed_channels
from onnxq.rules.scaling.operators import HANDLERS
from onnxq.rules.workspace import Workspace

_INSERTED_BEFORE = frozenset(["MatMul", "Gemm"])
"""Between convolutions a Mul would part what runs in integers."""


@dataclass(frozen=True, eq=False)
class Site:
    """Tensors that are divided by one vector of factors, and the constants that take it in.

    Labels are positions in that vector; -1 stands for a factor of 1.

    Attributes:
        name: Of the tensor that the first layer reads.
        count: How many factors there are.
        tensors: What is divided, by tensor name.
        operands: What takes the factors in. Those with exponent 1 and a layer as their node
            are the weights of layers that read the tensors; others write them.
        inserted: Whether a Mul has to be inserted between the tensor and the layers that read
            it, because what writes it, or others that read it, take no factor.
        reason: Why what is held at 1 is held, for a site without any factor.
    """

    name: str
    count: int
    tensors: dict[str, LabelArray]
    operands: tuple[Operand, ...]
    inserted: bool = False
    reason: str = ""


def find_sites(model: Model, *, insert: bool = False) -> list[Site]:
    """The sites of a model, in the order of their layers.

    Args:
        model: The float model.
        insert: Find sites too that need a Mul inserted.
    """
    return list(_sites(Workspace(model, know(model)), insert))


def _sites(work: Workspace, insert: bool) -> Iterator[Site]:
    labels = Labels()
    done: set[int] = set()
    for node in work.model.nodes:
        if not is_layer(node) or id(node.inputs[0]) in done:
            continue
        tensor = node.inputs[0]
        array = _seed(work, node, labels)
        if array is None or not isinstance(tensor, Variable):
            continue
        flow = Flow(work, labels, HANDLERS)
        flow.spread(tensor, array)
        done.update(flow.tensors)
        site = _site(flow, tensor.name)
        yield site
        if site.count or not insert:
            continue
        for read in [t for t, _ in flow.tensors.values() if any(map(is_layer, t.outputs))]:
            apart = _inserted(work, read)
            if apart is not None:
                yield apart


def _seed(work: Workspace, node: Node, labels: Labels) -> LabelArray | None:
    rank = work.rank(node.inputs[0])
    if rank is None or rank < 2:
        return None
    return along_axis(labels.fresh(seed_channels(node)), seed_axis(node, rank), rank)


def _site(flow: Flow, name: str) -> Site:
    arrays = {t.name: flow.labels.roots(a) for t, a in flow.tensors.values()}
    operands = list(flow.operands.values())
    own = [flow.labels.roots(o.labels) for o in operands]
    everything = [a.reshape(-1) for a in (*arrays.values(), *own)]
    roots = np.unique(np.concatenate(everything))
    free = roots[roots != FIXED]

    def position(array: LabelArray) -> LabelArray:
        places = np.searchsorted(free, array)
        return np.where(array == FIXED, -1, places)

    if not free.size:
        return Site(name, 0, {}, (), reason=flow.reasons[0] if flow.reasons else "")
    placed = tuple(
        Operand(o.node, o.index, position(a), o.exponent)
        for o, a in zip(operands, own, strict=True)
    )
    return Site(
        name,
        int(free.size),
        {n: position(a) for n, a in arrays.items()},
        placed,
    )


def channel_axes(
    sites: Iterable[Site], quantized: Collection[str] = ()
) -> dict[str, tuple[int, ...]]:
    """The tensors whose statistics choosing factors takes, and the axes of their channels.

    Args:
        sites: The sites.
        quantized: Tensors that are quantized besides those that layers read.
    """
    found: dict[str, tuple[int, ...]] = {}
    for site in sites:
        wanted = {o.node.inputs[0].name for o in site.operands if is_reading(o)} | set(quantized)
        for name, labels in site.tensors.items():
            if name in wanted:
                found[name] = tuple(sorted(varying(labels)))
    return found


def is_reading(operand: Operand) -> bool:
    """Whether an operand is the weight of a layer that reads what is divided."""
    return operand.exponent > 0 and is_layer(operand.node)


def _inserted(work: Workspace, tensor: Variable) -> Site | None:
    """The site that inserting a Mul between a tensor and its layers would make."""
    labels = Labels()
    layers = {
        id(n): n
        for n in tensor.outputs
        if n.op in _INSERTED_BEFORE and is_layer(n) and work.is_alive(n) and n.inputs[0] is tensor
    }
    flow = Flow(work, labels, HANDLERS)
    first = next(iter(layers.values()), None)
    array = None if first is None else _seed(work, first, labels)
    if array is None:
        return None
    for node in layers.values():
        flow.read_by(node, array)
    site = _site(flow, tensor.name)
    if site.count != array.size:
        return None
    # The tensor itself stays; what the Mul gives is divided.
    tensors = {tensor.name: np.arange(site.count).reshape(array.shape)}
    return Site(site.name, site.count, tensors, site.operands, inserted=True)
