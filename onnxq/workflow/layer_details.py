"""What a page shows of single layers: their errors, and the distributions behind their ranges.

Nothing here is needed to quantize, so it is measured only if somebody will look at it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration import Density, density_of
from onnxq.engine import Feed
from onnxq.graph import Constant, Model, Node, read
from onnxq.measure import compare_layers
from onnxq.plan import Plan, Rows, Use, Weight
from onnxq.quant import QParams
from onnxq.workflow.calibrating import observe
from onnxq.workflow.comparing import matching_tensors
from onnxq.workflow.local_noise import local_sqnr
from onnxq.workflow.workbench import Quantization

_SAMPLES = 4
_SHOWN = 6
_BINS = 60
_LARGEST_MODEL = 1_500_000_000
"""Bytes of constants; a larger model does not fit into one message, as measuring inside needs."""


@dataclass(frozen=True)
class LayerError:
    """How a tensor differs from the float model's.

    Attributes:
        node: The node that computes it.
        op: Its operator.
        tensor: Its name.
        layer: The integer node whose group it belongs to; the node itself if it is in none.
        depth: Place of the node in the model, from 0.
        integer: Whether the layer runs in integers.
        sqnr: In dB, with everything before it quantized too; None if it is no float tensor.
        own: Of the layer in dB, if it reads what the float model computes; infinite if that is
            exact, None if it was not measured.
    """

    node: str
    op: str
    tensor: str
    layer: str
    depth: int
    integer: bool
    sqnr: float | None
    own: float | None


@dataclass(frozen=True)
class Distribution:
    """Values of a tensor and the range of its codes.

    Attributes:
        name: Of the tensor.
        node: Of a node that reads it.
        edges: Of the bins, ascending.
        counts: Of the bins; one fewer than edges.
        low: The lowest value that a code stands for, of any channel.
        high: The highest.
        scales: Smallest and largest step between codes; equal where there is one scale.
        bits: Of a code.
        clipped: Share of the values beyond the range; 0 for weights whose ranges hold them all.
    """

    name: str
    node: str
    edges: tuple[float, ...]
    counts: tuple[float, ...]
    low: float
    high: float
    scales: tuple[float, float]
    bits: int
    clipped: float


@dataclass(frozen=True)
class LayerDetails:
    """What was found.

    Attributes:
        errors: Of every tensor that both models compute, in the order of the model.
        weights: Of the layers that err most.
        activations: Read by the layers that err most.
        samples: On how many samples.
    """

    errors: tuple[LayerError, ...]
    weights: tuple[Distribution, ...]
    activations: tuple[Distribution, ...]
    samples: int


def look_into(
    quantization: Quantization, result: Model, probes: Sequence[Feed]
) -> LayerDetails | None:
    """Measure the layers of a result.

    Args:
        quantization: How it came about.
        result: The quantized model.
        probes: Samples; the first few are used.

    Returns:
        None if there is no sample, or the model is too large to be measured inside.

    Raises:
        ModelError: if the model does not run.
    """
    samples = probes[:_SAMPLES]
    if not samples or quantization.decided.model.stored_bytes() > _LARGEST_MODEL:
        return None
    own = local_sqnr(quantization, samples)
    errors = tuple(_errors(quantization, result, samples, own))
    worst = sorted((n for n in own if _finite(own[n])), key=lambda n: own[n] or 0.0)
    return LayerDetails(
        errors=errors,
        weights=tuple(_weights(quantization, worst)),
        activations=tuple(_activations(quantization, worst, samples)),
        samples=len(samples),
    )


def _errors(
    quantization: Quantization,
    result: Model,
    samples: Sequence[Feed],
    own: Mapping[str, float | None],
) -> Iterable[LayerError]:
    model, plan = quantization.decided.model, quantization.plan
    pairs = list(matching_tensors(model, result))
    if not pairs:
        return
    found = compare_layers(model.to_proto(), result.to_proto(), pairs, samples)
    by_tensor = {pair[0]: fidelity for pair, fidelity in found.items()}
    ends = {decision.output: name for name, decision in plan.integer_nodes.items()}
    for depth, node in enumerate(model.nodes):
        for tensor in node.outputs:
            fidelity = by_tensor.get(tensor.name)
            if fidelity is None or fidelity.sqnr is None:
                continue
            layer = ends.get(tensor.name, node.name)
            integer = layer in plan.integer_nodes
            yield LayerError(
                node=node.name,
                op=node.op,
                tensor=tensor.name,
                layer=layer,
                depth=depth,
                integer=integer,
                sqnr=fidelity.sqnr,
                own=own.get(layer),
            )


def _weights(quantization: Quantization, worst: Sequence[str]) -> Iterable[Distribution]:
    nodes = {node.name: node for node in quantization.decided.model.nodes}
    stored = {
        use.node: use
        for use, operand in quantization.plan.operands.items()
        if isinstance(operand, Weight | Rows) and use in quantization.weights
    }
    uses = [stored[name] for name in worst if name in stored][:_SHOWN]
    for use in uses:
        weight = _constant(nodes, use)
        if weight is not None and weight.size:
            name = nodes[use.node].inputs[use.index].name
            counts, edges = np.histogram(weight, _BINS)
            parameters = quantization.weights[use].parameters
            yield _distribution(name, use.node, edges, counts.astype(np.float64), parameters)


def _constant(nodes: Mapping[str, Node], use: Use) -> NDArray[np.float32] | None:
    tensor = nodes[use.node].inputs[use.index]
    if not isinstance(tensor, Constant):
        return None
    value = read(tensor)
    return value.astype(np.float32).reshape(-1) if value.dtype.kind == "f" else None


def _activations(
    quantization: Quantization, worst: Sequence[str], samples: Sequence[Feed]
) -> Iterable[Distribution]:
    model = quantization.decided.model
    readers = _quantized_readings(model, quantization.plan, worst)
    if not readers:
        return
    seen = observe(model, list(readers), samples, histogram=True, progress=None)
    for name, node in readers.items():
        statistics = seen.tensors.get(name)
        if statistics is None or not statistics.samples:
            continue
        edges, counts = _linear(density_of(statistics))
        if counts.size:
            yield _distribution(name, node, edges, counts, quantization.parameters[name])


def _linear(density: Density) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges and counts of even bins; none if all values are equal."""
    edges = np.linspace(density.left[0], density.right[-1], _BINS + 1)
    if edges[0] == edges[-1]:
        return edges[:1], edges[:0]
    ends = np.stack([density.left, density.right], axis=1).reshape(-1)
    ranks = np.cumsum(np.stack([np.zeros_like(density.mass), density.mass], axis=1).reshape(-1))
    below = np.interp(edges, ends, ranks)
    # What lies on the lowest or highest value (zeros after Relu) belongs to the outermost bins.
    below[0], below[-1] = 0.0, ranks[-1]
    return edges, np.diff(below)


def _quantized_readings(model: Model, plan: Plan, worst: Sequence[str]) -> dict[str, str]:
    """Tensors that pass through codes into the layers that err most, with the layer."""
    nodes = {node.name: node for node in model.nodes}
    found: dict[str, str] = {}
    for layer in worst:
        for tensor in nodes[layer].inputs:
            if tensor.name in plan.activations and len(found) < _SHOWN:
                found.setdefault(tensor.name, layer)
    return found


def _distribution(
    name: str,
    node: str,
    edges: NDArray[np.float64],
    counts: NDArray[np.float64],
    parameters: QParams,
) -> Distribution:
    scheme = parameters.scheme
    scale = parameters.scale.astype(np.float64)
    zero = parameters.zero_point.astype(np.float64)
    low = float(np.min((scheme.minimum - zero) * scale))
    high = float(np.max((scheme.maximum - zero) * scale))
    middles, total = (edges[:-1] + edges[1:]) / 2, float(counts.sum())
    beyond = float(counts[(middles < low) | (middles > high)].sum())
    return Distribution(
        name=name,
        node=node,
        edges=tuple(map(float, edges)),
        counts=tuple(map(float, counts)),
        low=low,
        high=high,
        scales=(float(scale.min()), float(scale.max())),
        bits=scheme.qtype.bits,
        clipped=beyond / total if total else 0.0,
    )


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
