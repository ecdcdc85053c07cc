"""From labels to groups.

Channels belong to one group if they have equally many positions on the same axes of the same
constants: the rows of its members are then all alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onnxq.coupling.coverage import LAYERS
from onnxq.coupling.deciding import all_labels, decide
from onnxq.coupling.groups import (
    Cut,
    Flow,
    Frozen,
    Group,
    Grouping,
    Kind,
    Leak,
    Member,
    Side,
    Use,
)
from onnxq.coupling.labels import LabelArray
from onnxq.coupling.operators import HANDLERS
from onnxq.coupling.shapes import find_shapes
from onnxq.coupling.walk import Walk, walk_model
from onnxq.graph import Constant, Model

Site = tuple[str, int]


def channel_groups(model: Model, cut: Cut = Cut.INNER) -> Grouping:
    """The channels of a model, in groups that can be removed, and those that cannot.

    Near-linear in nodes and channels. The model is not changed; weights are not read.

    Args:
        model: The model. Weights may be initializers or Constant nodes, behind Transpose,
            Reshape, Cast or DequantizeLinear.
        cut: Which way tensors with several axes of channels (attention heads) are cut.
    """
    walk = walk_model(model, find_shapes(model), HANDLERS)
    heads = decide(walk, cut)
    roots, reasons = walk.labels.settled()
    return _Grouper(walk, roots, reasons).grouping(heads)


@dataclass
class _Table:
    """One row for each pair of a site and a position on it.

    Attributes:
        site: Number of the site.
        position: Position along its axis.
        root: Final label.
    """

    site: NDArray[np.int64]
    position: NDArray[np.int64]
    root: LabelArray


class _Grouper:
    def __init__(self, walk: Walk, roots: LabelArray, reasons: NDArray[np.int64]) -> None:
        self.walk, self.roots, self.reasons = walk, roots, reasons
        self.uses_of: dict[Site, list[Use]] = {}
        for use in walk.uses:
            self.uses_of.setdefault((use.constant, use.axis), []).append(use)
        self.sites = [s for s in walk.sites if s in self.uses_of]
        self.order = {node.name: i for i, node in enumerate(walk.model.nodes)}

    def grouping(self, heads: Sequence[LabelArray]) -> Grouping:
        """Everything, put together."""
        table = self._table()
        group_of, channel_of = (np.full(len(self.roots), -1, np.int64) for _ in range(2))
        kinds = self._kinds(heads)
        groups: list[Group] = []
        taken: set[str] = set()
        for rows in self._alike(table):
            group = self._group(table, rows, kinds, taken)
            if group is None:
                continue
            found, first = np.unique(table.root[rows], return_index=True)
            order = np.argsort(first, kind="stable")
            group_of[found[order]] = len(groups)
            channel_of[found[order]] = np.arange(len(found))
            groups.append(group)
        flow = Flow(
            shapes=self.walk.shapes,
            carried={
                name: tuple(replace(f, labels=self.roots[f.labels]) for f in factors)
                for name, factors in self.walk.carried.items()
            },
            sites={site: self.roots[labels] for site, labels in self.walk.sites.items()},
            uses=tuple(self.walk.uses),
            leaks=tuple(
                Leak(k.node, k.constant, k.axis, self.roots[k.labels], k.dead)
                for k in self.walk.leaks
            ),
            group_of=group_of,
            channel_of=channel_of,
        )
        return Grouping(tuple(groups), tuple(self._frozen(group_of)), flow)

    def _table(self) -> _Table:
        """All positions of sites whose labels are free, in the order of their first producers."""
        ranked = sorted(range(len(self.sites)), key=lambda i: self._rank(self.sites[i]))
        self.sites = [self.sites[i] for i in ranked]
        labels = [self.walk.sites[s] for s in self.sites]
        lengths = [len(a) for a in labels]
        site = np.repeat(np.arange(len(labels)), lengths)
        position = all_labels([np.arange(n) for n in lengths])
        root = self.roots[all_labels(labels)]
        free = self.reasons[root] < 0
        return _Table(site[free], position[free], root[free])

    def _rank(self, site: Site) -> tuple[int, int]:
        uses = self.uses_of[site]
        made = [self.order[u.node] for u in uses if u.side is Side.OUTPUT]
        return (0, min(made)) if made else (1, min(self.order[u.node] for u in uses))

    def _alike(self, table: _Table) -> list[NDArray[np.int64]]:
        """Rows of the table, by group; groups and rows in the order of the table."""
        if not table.root.size:
            return []
        parts = [self.roots[a.reshape(-1)] for a in self.walk.parts]
        owner = np.repeat(np.arange(len(parts)) + len(self.sites), [len(a) for a in parts])
        rows = np.stack([all_labels([table.root, *parts]), np.concatenate([table.site, owner])])
        pairs, counts = np.unique(rows, axis=1, return_counts=True)
        generator = np.random.default_rng(0)
        code = generator.integers(0, 2**63, len(self.sites) + len(parts), np.uint64)
        mark = np.zeros(len(self.roots), np.uint64)
        # A sum of random codes tells sets of (site, count) apart.
        np.add.at(mark, pairs[0], code[pairs[1]] * (2 * counts.astype(np.uint64) + 1))
        marks = mark[table.root]
        _, first, kind = np.unique(marks, return_index=True, return_inverse=True)
        order = np.argsort(first[kind], kind="stable")
        cuts = np.flatnonzero(np.diff(first[kind][order])) + 1
        return np.split(order, cuts)

    def _kinds(self, heads: Sequence[LabelArray]) -> dict[Kind, NDArray[np.bool_]]:
        marked = {}
        for kind, arrays in ((Kind.HIDDEN, self.walk.hidden), (Kind.HEADS, heads)):
            mark = np.zeros(len(self.roots), np.bool_)
            mark[self.roots[all_labels(arrays)]] = True
            marked[kind] = mark
        return marked

    def _group(
        self,
        table: _Table,
        rows: NDArray[np.int64],
        kinds: dict[Kind, NDArray[np.bool_]],
        taken: set[str],
    ) -> Group | None:
        """One group; None if nothing computes its channels, or there is but one."""
        roots = table.root[rows]
        found, first = np.unique(roots, return_index=True)
        number = np.empty(len(found), np.int64)
        number[np.argsort(first, kind="stable")] = np.arange(len(found))
        channels = number[np.searchsorted(found, roots)]
        members: list[Member] = []
        nodes: list[str] = []
        sites = table.site[rows]
        order = np.lexsort((channels, sites))
        starts = np.flatnonzero(np.diff(sites[order], prepend=-1))
        for run in np.split(order, starts[1:]):
            positions = table.position[rows[run]].reshape(len(found), -1)
            members.extend(self._members(self.sites[sites[run[0]]], positions))
        nodes = [n for m in members if m.side is Side.OUTPUT for n in m.nodes]
        if not nodes or len(found) < 2:
            return None
        name = unique(min(nodes, key=self.order.__getitem__), taken)
        kind = next((k for k, mark in kinds.items() if mark[found].any()), Kind.CHANNELS)
        return Group(name, len(found), tuple(members), kind)

    def _members(self, site: Site, positions: NDArray[np.int64]) -> list[Member]:
        by_side: dict[Side, list[str]] = {}
        for use in self.uses_of[site]:
            by_side.setdefault(use.side, []).append(use.node)
        return [
            Member(*site, positions, side, tuple(dict.fromkeys(nodes)))
            for side, nodes in by_side.items()
        ]

    def _frozen(self, group_of: LabelArray) -> list[Frozen]:
        """What stays, by the reason and the nodes that compute it."""
        found: list[Frozen] = []
        for site in self.sites:
            nodes = [u.node for u in self.uses_of[site] if u.side is Side.OUTPUT]
            if not nodes:
                continue
            roots = self.roots[self.walk.sites[site]]
            stays = roots[group_of[roots] < 0]
            for reason, count in zip(
                *np.unique(self.reasons[stays], return_counts=True), strict=True
            ):
                text = self.walk.labels.reasons[reason] if reason >= 0 else _ALONE
                found.append(
                    Frozen(nodes[0], text, tuple(dict.fromkeys(nodes)), (site,), int(count))
                )
        return [*found, *_overridable(self.walk.model)]


def _overridable(model: Model) -> Iterator[Frozen]:
    """Layers whose weight is an input with a default value: callers may replace it."""
    for node in model.nodes:
        for tensor in node.inputs[:3]:
            if node.op in LAYERS and isinstance(tensor, Constant) and tensor.overridable:
                reason = f"'{tensor.name}' is an input of the model and may change at run time"
                yield Frozen(node.name, reason, (node.name,), (), 0)
                break


_ALONE = "all of these channels can only go together"


def unique(name: str, taken: set[str]) -> str:
    """`name`, or `name#2`, `name#3` and so on if it is taken."""
    found, serial = name, 1
    while found in taken:
        serial += 1
        found = f"{name}#{serial}"
    taken.add(found)
    return found
