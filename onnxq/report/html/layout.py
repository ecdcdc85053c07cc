"""Where the nodes of a graph stand: layers, folded into columns like a newspaper.

Networks are long and narrow; drawn as one strip they are unreadable as a whole. So the layers
are cut into columns until the picture is about as wide as a screen.

Layers, dummies on long edges and barycentres follow Sugiyama, Tagawa and Toda (1981), "Methods
for visual understanding of hierarchical system structures". The work is linear in nodes and edges
but for sorting: edges too long for their share of dummies are drawn straight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

Edge = tuple[int, int]

_SWEEPS = 4
_DUMMIES_PER_NODE = 6
_DUMMY_WIDTH = 0.25
"""Of a node's."""


@dataclass(frozen=True)
class Spacing:
    """Distances in units of the picture."""

    lane: float = 104.0
    layer: float = 46.0
    gutter: float = 56.0
    aspect: float = 1.7


@dataclass(frozen=True)
class Layout:
    """A picture without its drawing.

    Attributes:
        places: Centre of each node.
        routes: For each edge, in the given order, the points that it passes.
        width: Of the picture.
        height: Of the picture.
        columns: Into how many the layers were folded.
    """

    places: tuple[tuple[float, float], ...]
    routes: tuple[tuple[tuple[float, float], ...], ...]
    width: float
    height: float
    columns: int


@dataclass
class _Sugiyama:
    """Nodes and dummies by layer, in the order of their lanes."""

    layer: list[int]
    chains: list[list[int]]
    above: list[list[int]] = field(default_factory=list)
    below: list[list[int]] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)
    lane: list[float] = field(default_factory=list)
    width: list[float] = field(default_factory=list)


def lay_out(count: int, edges: Sequence[Edge], spacing: Spacing | None = None) -> Layout:
    """Lay a graph out.

    Args:
        count: Number of nodes, numbered in topological order.
        edges: Pairs of numbers, the first below the second; others are ignored.
        spacing: Distances.
    """
    spacing = spacing or Spacing()
    if not count:
        return Layout((), tuple(() for _ in edges), spacing.lane, spacing.layer, 0)
    drawn = [(a, b) if 0 <= a < b < count else None for a, b in edges]
    graph = _with_dummies(_layers(count, [e for e in drawn if e]), drawn)
    _sort_rows(graph)
    _place_lanes(graph)
    return _folded(graph, count, spacing)


def _layers(count: int, edges: Sequence[Edge]) -> list[int]:
    """The longest way from the start to each node; sources stand right above their first reader."""
    layer = [0] * count
    nearest: dict[int, int] = {}
    has_input = [False] * count
    for a, b in sorted(edges, key=lambda edge: edge[1]):
        layer[b] = max(layer[b], layer[a] + 1)
        has_input[b] = True
    for a, b in edges:
        nearest[a] = min(nearest.get(a, layer[b]), layer[b])
    for node, reader in nearest.items():
        if not has_input[node]:
            layer[node] = reader - 1
    return layer


def _with_dummies(layer: list[int], edges: Sequence[Edge | None]) -> _Sugiyama:
    """Edges as chains of neighbours: one dummy in every layer they pass, shortest edges first."""
    budget = _DUMMIES_PER_NODE * len(layer)
    chains: list[list[int]] = [[] for _ in edges]
    layers = list(layer)

    def span(index: int) -> int:
        edge = edges[index]
        return layer[edge[1]] - layer[edge[0]] if edge else 0

    for index in sorted(range(len(edges)), key=span):
        edge = edges[index]
        if edge is None:
            continue
        (a, b), between = edge, span(index) - 1
        if between > budget:
            chains[index] = [a, b]
            continue
        budget -= between
        dummies = list(range(len(layers), len(layers) + between))
        layers.extend(range(layer[a] + 1, layer[b]))
        chains[index] = [a, *dummies, b]
    graph = _Sugiyama(layers, chains)
    graph.width = [1.0] * len(layer) + [_DUMMY_WIDTH] * (len(layers) - len(layer))
    graph.above, graph.below = [[] for _ in layers], [[] for _ in layers]
    for chain in chains:
        for a, b in pairwise(chain):
            if layers[b] - layers[a] == 1:
                graph.below[a].append(b)
                graph.above[b].append(a)
    graph.rows = [[] for _ in range(max(layers) + 1)]
    for node, row in enumerate(layers):
        graph.rows[row].append(node)
    return graph


def _sort_rows(graph: _Sugiyama) -> None:
    """Order every row by the mean place of its neighbours, down and up again."""
    place = [0.0] * len(graph.layer)
    for row in graph.rows:
        for index, node in enumerate(row):
            place[node] = float(index)
    for sweep in range(_SWEEPS):
        neighbours = graph.above if sweep % 2 == 0 else graph.below
        for row in graph.rows if sweep % 2 == 0 else reversed(graph.rows):
            key = {n: _mean([place[m] for m in neighbours[n]], place[n]) for n in row}
            row.sort(key=key.__getitem__)
            for index, node in enumerate(row):
                place[node] = float(index)


def _place_lanes(graph: _Sugiyama) -> None:
    """Give every node a lane near its neighbours', apart from the next in its row."""
    graph.lane = [0.0] * len(graph.layer)
    offsets = [_offsets([graph.width[node] for node in row]) for row in graph.rows]
    for row, apart in zip(graph.rows, offsets, strict=True):
        for node, offset in zip(row, apart, strict=True):
            graph.lane[node] = offset - apart[-1] / 2
    steps = list(zip(graph.rows, offsets, strict=True))
    for sweep in range(2 * _SWEEPS):
        neighbours = graph.above if sweep % 2 == 0 else graph.below
        for row, apart in steps if sweep % 2 == 0 else reversed(steps):
            wished = [_mean([graph.lane[m] for m in neighbours[n]], graph.lane[n]) for n in row]
            for node, lane in zip(row, _apart(wished, apart), strict=True):
                graph.lane[node] = lane


def _offsets(widths: Sequence[float]) -> list[float]:
    """Where nodes stand that touch each other, the first at 0."""
    steps = ((a + b) / 2 for a, b in pairwise(widths))
    return list(accumulate(steps, initial=0.0))


def _apart(wished: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """The places nearest to those wished for, in least squares, that leave room for all.

    Pool adjacent violators: runs of places that touch each other stand around their mean.
    """
    runs: list[tuple[float, int]] = []
    for value, offset in zip(wished, offsets, strict=True):
        total, size = value - offset, 1
        while runs and runs[-1][0] * size >= total * runs[-1][1]:
            before = runs.pop()
            total, size = total + before[0], size + before[1]
        runs.append((total, size))
    means = [total / size for total, size in runs for _ in range(size)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _folded(graph: _Sugiyama, count: int, spacing: Spacing) -> Layout:
    """Cut the layers into columns, and join what was cut."""
    height, starts = _best_columns(graph, spacing)
    place: list[tuple[float, float]] = []
    for node, row in enumerate(graph.layer):
        column, inside = divmod(row, height)
        left, low = starts[column]
        x = left + (graph.lane[node] - low + 0.5) * spacing.lane
        place.append((x, (inside + 0.5) * spacing.layer))
    lefts = [left for left, _ in starts]
    routes = []
    for chain in graph.chains:
        points: list[tuple[float, float]] = []
        for before, node in zip([None, *chain], chain, strict=False):
            if before is not None and graph.layer[before] // height != graph.layer[node] // height:
                gutter = lefts[graph.layer[node] // height] - spacing.gutter / 2
                points += [
                    (gutter, place[before][1] + spacing.layer / 2),
                    (gutter, place[node][1] - spacing.layer / 2),
                ]
            points.append(place[node])
        routes.append(tuple(points))
    right = starts[-1]
    return Layout(
        places=tuple(place[:count]),
        routes=tuple(routes),
        width=right[0],
        height=height * spacing.layer,
        columns=len(starts) - 1,
    )


def _best_columns(graph: _Sugiyama, spacing: Spacing) -> tuple[int, list[tuple[float, float]]]:
    """(layers in a column, left edge and lowest lane of each column and the picture's right)."""
    extents = [
        (min(graph.lane[n] for n in row), max(graph.lane[n] for n in row)) for row in graph.rows
    ]
    choices = []
    for columns in range(1, min(len(extents), _MOST_COLUMNS) + 1):
        height = -(-len(extents) // columns)
        starts = _starts(extents, height, spacing)
        ratio = starts[-1][0] / (height * spacing.layer) / spacing.aspect
        choices.append((max(ratio, 1.0 / ratio), height, starts))
    _, height, starts = min(choices)
    return height, starts


_MOST_COLUMNS = 60


def _starts(
    extents: Sequence[tuple[float, float]], height: int, spacing: Spacing
) -> list[tuple[float, float]]:
    left, starts = 0.0, []
    for first in range(0, len(extents), height):
        column = extents[first : first + height]
        low, high = min(a for a, _ in column), max(b for _, b in column)
        starts.append((left, low))
        left += (high - low + 1.0) * spacing.lane + spacing.gutter
    return [*starts, (left - spacing.gutter, 0.0)]
