"""Which layers cost how much accuracy: the ranking, and what leaving the worst float would gain.

Every quantization is simulated alone, and its noise at the outputs measured: a layer costs the
sum of what it quantizes, since noises nearly add up. How much it errs by itself is seen in one
run with a quantized twin beside each layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from onnxq.config import Config
from onnxq.engine import Feed
from onnxq.graph import Constant, Node, Source, load
from onnxq.measure import SQNR_CAP, count_macs
from onnxq.passes import shift_name
from onnxq.plan import Plan
from onnxq.targets import load_target
from onnxq.workflow.calibrated import Calibrated, calibrate, check_quantizes
from onnxq.workflow.local_noise import local_sqnr
from onnxq.workflow.noises import layer_noises, layer_switches, single_noises
from onnxq.workflow.progress import Progress, Stages, silent
from onnxq.workflow.sensitivity_result import CurvePoint, LayerCost, Sensitivity
from onnxq.workflow.simulated_accuracy import SimulatedAccuracy
from onnxq.workflow.simulation import Simulation, Switch
from onnxq.workflow.workbench import Quantization

PROBES = 4

_EVALUATIONS = 400
"""Of models with more quantizations, those that cost little share what they cost."""

_COUNTS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


def sensitivity(
    source: Source,
    *,
    calibration: object = None,
    config: Config | None = None,
    probes: int = PROBES,
    top: int = 10,
    progress: Progress = silent,
) -> Sensitivity:
    """Measure what the quantization of each layer costs.

    The layers and their scales are those that `quantize` chooses at the effort `quick`. Integer
    arithmetic is simulated in float, which differs by rounding alone.

    Args:
        source: A path, bytes, ModelProto or Model. It is not changed.
        calibration: Sample inputs, as for `quantize`.
        config: What to do. If `evaluate` names data and labels, its metric is measured too, on
            128 samples unless it says how many.
        probes: On how many samples noise is measured.
        top: For how many of the most costly layers the metric is measured.
        progress: Called as the work goes on.

    Raises:
        ModelError: if the model is invalid or the engine does not run it.
        DataError: if the samples do not fit the model, or there are none.
        ConfigError: if the target is unknown or a selector matches nothing.
        UsageError: if no samples are named.
    """
    config, stages = config or Config(), Stages(progress)
    check_quantizes(config)
    if config.effort != "none":
        # What is tried above that leaves layers float, or hides what they cost.
        config = config.model_copy(update={"effort": "quick"})
    target = load_target(config.target)
    found = calibrate(load(source), calibration, config, target, stages, progress)
    quantization = found.quantization
    with stages.stage("measure layers"):
        samples = found.division.probes[:probes]
        simulation = _simulation(quantization, samples)
        layers = _layers(quantization, simulation, samples, progress)
        curve = _curve(found, layers, simulation)
        runs = simulation.runs
    judge = SimulatedAccuracy.made(config, found.specs, simulation, progress)
    reference = None
    if judge is not None:
        with stages.stage("measure accuracy"):
            reference = judge.of(())
            layers, curve = _with_accuracy(judge, found, layers, curve, top)
    return Sensitivity(
        target=target.name,
        layers=tuple(layers),
        curve=tuple(curve),
        metric=judge.metric.name if judge else None,
        float_accuracy=reference,
        labelled=len(judge.labels) if judge else 0,
        probes=len(samples),
        runs=runs,
        warnings=found.warnings,
        seconds=stages.seconds,
    )


def _simulation(quantization: Quantization, probes: Sequence[Feed]) -> Simulation:
    decided = quantization.decided
    return Simulation(
        decided.model, decided.plan, quantization.parameters, probes, quantization.weights
    )


def _layers(
    quantization: Quantization,
    simulation: Simulation,
    probes: Sequence[Feed],
    progress: Progress,
) -> list[LayerCost]:
    """All layers, the most costly first."""
    model, plan = quantization.decided.model, quantization.plan
    found = layer_noises(model, plan, single_noises(simulation, progress, evaluations=_EVALUATIONS))
    local, macs = local_sqnr(quantization, probes), _macs(quantization)
    nodes, total = {node.name: node for node in model.nodes}, sum(n.own for n in found.values())
    costs = [
        LayerCost(
            node=name,
            op=nodes[name].op,
            role=plan.integer_nodes[name].role,
            macs=macs.get(name, 0.0),
            bytes=_stored_bytes(plan, [nodes[n] for n in (name, *plan.integer_nodes[name].group)]),
            sqnr=decibels(noise.alone),
            local_sqnr=local[name],
            share=noise.own / total if total else 0.0,
        )
        for name, noise in found.items()
    ]
    return sorted(costs, key=lambda cost: -cost.share)


def decibels(noise: float) -> float:
    """Noise over signal as SQNR in dB, capped."""
    return SQNR_CAP if noise <= 0.0 else min(-10.0 * math.log10(noise), SQNR_CAP)


def _macs(quantization: Quantization) -> dict[str, float]:
    """Share of the multiply-accumulates by node."""
    counted = count_macs(quantization.decided.model.to_proto())
    return {node.node: node.macs / max(counted.macs, 1) for node in counted.nodes}


def _stored_bytes(plan: Plan, nodes: Sequence[Node]) -> int:
    names = {node.name for node in nodes}
    by_name = {node.name: node for node in nodes}
    tensors = [by_name[u.node].inputs[u.index] for u in plan.operands if u.node in names]
    return sum(t.stored.nbytes for t in tensors if isinstance(t, Constant))


def _curve(
    found: Calibrated, layers: Sequence[LayerCost], simulation: Simulation
) -> list[CurvePoint]:
    macs = {layer.node: layer.macs for layer in layers}
    points = []
    for count in (c for c in _COUNTS if c == 0 or c < len(layers)):
        plan = _plan_without(found, layers[:count])
        left = sum(macs.get(name, 0.0) for name in plan.integer_nodes)
        points.append(CurvePoint(count, simulation.sqnr(plan.quantizations), left))
    return points


def _plan_without(found: Calibrated, layers: Sequence[LayerCost]) -> Plan:
    """The plan in which these layers are float; of a spelled operator, all of it."""
    nodes = found.quantization.decided.model.nodes
    origins = {shift_name(node.name): node.name for node in nodes}
    names = dict.fromkeys(origins.get(layer.node, layer.node) for layer in layers)
    returned = dict.fromkeys(names, "it is among the most costly layers")
    recipe = found.quantization.recipe
    recipe = replace(recipe, returned={**recipe.returned, **returned})
    return found.bench.decide(recipe).plan


def _with_accuracy(
    judge: SimulatedAccuracy,
    found: Calibrated,
    layers: Sequence[LayerCost],
    curve: Sequence[CurvePoint],
    top: int,
) -> tuple[list[LayerCost], list[CurvePoint]]:
    model, plan = found.quantization.decided.model, found.quantization.plan
    switches: Mapping[str, list[Switch]] = layer_switches(model, plan)
    measured = [replace(c, accuracy=judge.of(switches[c.node])) for c in layers[:top]]
    points = [
        replace(
            point,
            accuracy=judge.of(_plan_without(found, layers[: point.kept_float]).quantizations),
        )
        for point in curve
    ]
    return [*measured, *layers[top:]], points
