"""How much the outputs suffer when a group loses channels: a few runs of the engine per group.

The loss of a curve is that of the layers behind a group, relative to what they compute. What it
does to the outputs differs by more than ten times between groups, so it is measured: the layers
behind get the weights that make up best for the first channels gone, their biases keep the means,
and the outputs are compared. Noise at the outputs over loss on the curve is the gain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.engine import Feed
from onnxq.errors import ModelError
from onnxq.graph import Constant, Model, constant, copy_model, read, set_input
from onnxq.pruning import Consumer, Curve
from onnxq.workflow.judging import Judge
from onnxq.workflow.layer_biases import bias_of

Array = NDArray[Any]

PROBED_LOSS = 0.02
"""Loss at which groups are compared: large enough to see, small enough to stay in proportion."""

MOST_PROBED = 64
"""So many groups at most; the others count with the mean gain."""

_SAMPLES, _ENOUGH = 6, 24
_CLOSEST = 1e-6
"""Noise below this share of the signal is taken for this."""


@dataclass(frozen=True, eq=False)
class Probe:
    """What stands for a group that lost some channels.

    Attributes:
        loss: What the curve says of it.
        weights: The consumers, each with its weight [channel, output] made up as well as it goes,
            and with what its outputs then lack in the mean [output].
    """

    loss: float
    weights: Sequence[tuple[Consumer, Array, Array]]


def divided(feeds: Sequence[Feed]) -> tuple[Sequence[Feed], Sequence[Feed]]:
    """Samples to learn from, and a few others to probe with; the same where they are few.

    Weights that make up for channels do so best on what they learnt from.
    """
    if len(feeds) < _ENOUGH:
        return feeds, feeds[:_SAMPLES]
    every = len(feeds) // _SAMPLES
    probing = [feed for i, feed in enumerate(feeds) if i % every == every - 1][:_SAMPLES]
    chosen = {id(feed) for feed in probing}
    return [feed for feed in feeds if id(feed) not in chosen], probing


def measure_gains(
    model: Model,
    probes: Mapping[int, Probe],
    feeds: Sequence[Feed],
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, float]:
    """Noise at the outputs per loss on the curve, by the number of the group.

    Args:
        model: The model.
        probes: What to try, by the number of the group.
        feeds: Samples, other ones than those that the probes learnt from if there are enough.
        progress: Called after each probe with those done and to do.
    """
    judge = Judge(model, feeds)
    found: dict[int, float] = {}
    chosen = list(probes.items())[:MOST_PROBED]
    for place, (number, probe) in enumerate(chosen):
        noise = _noise(judge, model, probe)
        if noise is not None and probe.loss > 0.0:
            found[number] = max(noise, _CLOSEST) / probe.loss
        if progress is not None:
            progress(place + 1, len(chosen))
    return found


def with_gains(curves: Sequence[Curve], gains: Mapping[int, float]) -> tuple[Curve, ...]:
    """Curves whose losses are noise at the outputs; groups that were not probed count as the mean.

    Args:
        curves: One per group.
        gains: By the number of the group.
    """
    if not gains:
        return tuple(curves)
    mean = geometric_mean(gains.values())
    return tuple(curve.scaled(gains.get(number, mean)) for number, curve in enumerate(curves))


def _noise(judge: Judge, model: Model, probe: Probe) -> float | None:
    """Noise over signal at the outputs; None if it cannot be told."""
    twin = copy_model(model)
    nodes = {node.name: node for node in twin.nodes}
    for consumer, matrix, lack in probe.weights:
        node = nodes[consumer.node]
        tensor = node.inputs[1]
        assert isinstance(tensor, Constant)
        weight = consumer.weight_of(matrix, read(tensor))
        set_input(node, 1, constant(twin.new_name(f"{consumer.weight}_probed"), weight))
        bias = bias_of(node, weight.dtype, twin)
        if bias is not None:
            bias.add(lack)
    try:
        sqnr = judge.sqnr(twin)
    except ModelError:
        return None
    return None if sqnr is None or not np.isfinite(sqnr) else float(10.0 ** (-sqnr / 10.0))
