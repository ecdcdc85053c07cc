"""The noise that single quantizations and layers cause at the outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil

from onnxq.graph import Model, Node
from onnxq.plan import Integer, Plan, Use
from onnxq.workflow.progress import Progress, silent
from onnxq.workflow.simulation import Simulation, Switch

STAGE = "measure layers"

EVALUATIONS = 192
"""So many subsets of a plan's quantizations tell enough to choose layers by."""

Row = tuple[Switch, ...]
"""Quantizations of the same codes."""

_MOVES = "same-scale"


@dataclass(frozen=True)
class LayerNoise:
    """Noise over signal that a layer causes at the outputs.

    Attributes:
        alone: If nothing else is quantized: that of all tensors it reads and writes in codes,
            and of its weights.
        own: Its part of that if everything is quantized: layers that quantize the same tensor
            share its noise equally. The sum over all layers counts everything once.
    """

    alone: float
    own: float


def single_noises(
    simulation: Simulation, progress: Progress = silent, *, evaluations: int = EVALUATIONS
) -> dict[Switch, float]:
    """Noise over signal at the outputs of every quantization alone.

    1. Tensors that hold the same codes, moved from one to the other, are measured as one.
    2. Where there are more than may be measured, neighbours are measured together first, and
       the noisiest group is halved again and again.
    3. Those measured together share their noise equally, so that the sum counts it once.

    Args:
        simulation: Of the plan; how many probes it has says how much this costs.
        progress: Called as the work goes on, with the stage "measure layers".
        evaluations: How many subsets of the quantizations are measured at most.
    """
    rows = moved_codes(simulation.model, simulation.plan)
    found: dict[Switch, float] = {}
    for group, noise in _measured(rows, simulation, evaluations, progress):
        for row in group:
            found.update(dict.fromkeys(row, noise / len(group) / len(row)))
    return found


def _measured(
    rows: list[Row], simulation: Simulation, evaluations: int, progress: Progress
) -> Iterator[tuple[list[Row], float]]:
    """Groups of rows with their noise; of one row each where there are evaluations enough."""
    first = len(rows) if len(rows) <= evaluations else max(evaluations // 4, 1)
    width = ceil(len(rows) / max(first, 1))
    waiting = [rows[begin : begin + width] for begin in range(0, len(rows), max(width, 1))]
    known: list[tuple[float, int, list[Row]]] = []
    done, total = 0, min(evaluations, len(rows))
    while True:
        for group in waiting:
            noise = simulation.noise([switch for row in group for switch in row])
            heappush(known, (-noise, done := done + 1, group))
            progress(STAGE, min(done, total), total)
        if not known:
            return
        noise, _, group = heappop(known)
        if len(group) == 1 or done + 2 > evaluations:
            waiting = []
            yield group, -noise
            continue
        waiting = [group[: len(group) // 2], group[len(group) // 2 :]]


def layer_noises(model: Model, plan: Plan, noises: Mapping[Switch, float]) -> dict[str, LayerNoise]:
    """What each layer of a plan causes, as the sum of what its quantizations cause alone.

    Args:
        model: The float model that the plan was made for.
        plan: What is quantized: the plan that was simulated, or one with fewer layers.
        noises: Of single quantizations; one that is not among them counts as none.
    """
    rows = {switch: row for row in moved_codes(model, plan) for switch in row}
    layers = {n: {rows[s] for s in found} for n, found in layer_switches(model, plan).items()}
    demand = Counter(row for touched in layers.values() for row in touched)
    noise = {row: sum(noises.get(switch, 0.0) for switch in row) for row in demand}
    return {
        name: LayerNoise(
            sum(noise[row] for row in touched), sum(noise[row] / demand[row] for row in touched)
        )
        for name, touched in layers.items()
    }


def layer_switches(model: Model, plan: Plan) -> dict[str, list[Switch]]:
    """The quantizations of each layer: what would be left if every other one stayed float.

    Those are the tensors that it reads and writes in codes, and its weights. Nodes that only
    move codes are no layers.

    Args:
        model: The float model that the plan was made for.
        plan: What is quantized.
    """
    nodes = {node.name: node for node in model.nodes}
    return {
        name: _switches(decision, [nodes[n] for n in (name, *decision.group)], plan)
        for name, decision in plan.integer_nodes.items()
        if decision.role != _MOVES
    }


def _switches(decision: Integer, members: Sequence[Node], plan: Plan) -> list[Switch]:
    uses = [Use(node.name, index) for node in members for index in range(len(node.inputs))]
    known = set(plan.quantizations)
    found: list[Switch] = [use for use in uses if use in known]
    if not decision.reads_codes:
        return found
    around = [tensor.name for node in members for tensor in node.inputs]
    written = plan.activations.get(decision.output)
    around += [decision.output] if written is not None and written.everyone else []
    return [*found, *dict.fromkeys(name for name in around if name in plan.activations)]


def moved_codes(model: Model, plan: Plan) -> list[Row]:
    """All quantizations of a plan; those of tensors that hold the same codes in one row."""
    rows: dict[Switch, list[Switch]] = {switch: [switch] for switch in plan.quantizations}
    for node in model.nodes:
        decision = plan.nodes.get(node.name)
        if not isinstance(decision, Integer) or decision.role != _MOVES:
            continue
        names = [t.name for t in (*node.inputs, *node.outputs) if t.name in plan.activations]
        for name in names[1:]:
            row = rows[names[0]]
            if rows[name] is not row:
                row += rows[name]
                rows.update(dict.fromkeys(rows[name], row))
    return list({id(row): tuple(row) for row in rows.values()}.values())
