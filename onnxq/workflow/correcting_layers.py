"""Corrections that sample inputs tell once ranges are chosen: of biases, and of rounding.

Layers are corrected one after another, each on the inputs that it has in the quantized model
whose earlier layers are corrected already.

- Rounding: codes that keep what the layer computes from these inputs (see `learn_codes`).
- Bias: b ← b + c · (E[y] - E[ŷ]) per output channel, where y is what the layer computes in the
  float model (Nagel et al. 2019, arXiv:1906.04721, section 4.2, empirical form; Nagel et al. 2021,
  arXiv:2106.08295, section 3.4). With d the difference of the means of one sample, and few of
  them, c = max(0, 1 - Var[d] / (samples · E[d]²)) leaves out what is but chance (positive-part
  shrinkage, James and Stein 1961).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration import Progress
from onnxq.engine import Feed, Run, open_session, runner
from onnxq.errors import DataError
from onnxq.graph import Model, copy_model
from onnxq.measure import compare_outputs, mean_sqnr
from onnxq.passes import InsertQDQ, SetBiases, apply_passes
from onnxq.plan import Plan, Use
from onnxq.quant import Codes, Learning, QParams, learn_codes
from onnxq.workflow.gathering_moments import gather_moments
from onnxq.workflow.layer_walk import LayerWalk, QuantizedLayer
from onnxq.workflow.weight_inputs import Layer

Array = NDArray[Any]

_FEWEST_VECTORS, _MOST_VECTORS = 2048, 8192
_VECTORS_PER_TERM = 4
_LARGEST_MOMENT = 8 * 5000**2
"""Bytes of a second moment from which on a layer keeps its codes: time grows with their cube."""


ROUNDING = Learning(damping=0.1, refits=0, search_scales=False)
"""Fitted scales gained nothing on 8-bit convolutions; more damping than usual did, a little."""


@dataclass(frozen=True)
class Correction:
    """What became of a quantization.

    Attributes:
        weights: The codes of every weight and table of the plan.
        biases: New values of the biases that changed, by the use that the plan stores as int32.
        before: Mean SQNR of the outputs on the probes before, in dB; None if not measured.
        after: The same with the correction.
    """

    weights: Mapping[Use, Codes]
    biases: Mapping[Use, Array] = field(default_factory=dict)
    before: float | None = None
    after: float | None = None

    @property
    def gain(self) -> float:
        """By how many dB it helped on the probes; 0 if that was not measured."""
        return 0.0 if self.before is None or self.after is None else self.after - self.before

    def corrected(self, model: Model) -> Model:
        """A copy of the float model with the new biases; the plan fits it as it did before."""
        copy = copy_model(model)
        apply_passes(copy, [SetBiases(self.biases)])
        return copy


def correct_layers(
    model: Model,
    plan: Plan,
    activations: Mapping[str, QParams],
    weights: Mapping[Use, Codes],
    feeds: Sequence[Feed],
    *,
    learning: Learning | None = None,
    biases: bool = True,
    probes: Sequence[Feed] = (),
    progress: Progress | None = None,
) -> Correction:
    """Correct biases, and the rounding of weights if asked for.

    Memory: 1 GB at most for the samples on their way (fewer go on where tensors are large), and
    what `learn_codes` takes for one layer.

    Args:
        model: The float model that the plan was made for; it is not changed.
        plan: What is quantized.
        activations: Parameters of every activation in the plan, by tensor name.
        weights: The codes of every weight and table, to start from.
        feeds: Samples to learn from.
        learning: How to round, such as `ROUNDING`; None leaves the codes as they are.
        biases: Correct the biases that the plan stores as int32.
        probes: Other samples, to measure the gain on.
        progress: Called after each layer with the layers done and to do.

    Raises:
        DataError: if there is no sample.
        ModelError: if the engine does not run a piece of the model.
    """
    if not feeds:
        raise DataError("no samples to correct layers with", remedy="give at least one sample")
    walk = LayerWalk(model, plan, activations, weights, feeds)
    layers = walk.layers()
    for place, layer in enumerate(layers):
        _correct(walk, layer, learning, biases)
        if progress is not None:
            progress(place + 1, len(layers))
    correction = Correction(walk.weights, walk.biases)
    if not probes:
        return correction
    trials = (Correction(weights), correction)
    before, after = _sqnrs(model, plan, activations, trials, probes)
    return Correction(walk.weights, walk.biases, before, after)


def _correct(
    walk: LayerWalk,
    layer: QuantizedLayer,
    learning: Learning | None,
    biases: bool,
) -> None:
    codes = walk.weights[layer.use]
    inputs = layer.inputs
    if learning is None or inputs is None or inputs.moment_bytes > _LARGEST_MOMENT:
        for _ in walk.inputs(layer):
            pass
    else:
        moment = _moment(walk, layer, inputs)
        held = layer.weight == 0 if layer.is_sparse else None
        found = learn_codes(layer.weight, codes.parameters, inputs.products, moment, learning, held)
        if walk.has_room(layer, found.codes):
            walk.store_weight(layer, found.codes)
    if biases and layer.bias is not None:
        walk.store_bias(layer, walk.bias(layer) + _shift(walk, layer))


def _moment(walk: LayerWalk, layer: QuantizedLayer, inputs: Layer) -> Array:
    """Mean of x xᵀ over some vectors x that the layer reads: float32 [group, term, term]."""
    wanted = _VECTORS_PER_TERM * inputs.products.matrices(layer.weight).shape[1]
    wanted = min(max(wanted, _FEWEST_VECTORS), _MOST_VECTORS)
    moments = gather_moments(walk.inputs(layer), inputs.rows, vectors=wanted, samples=walk.samples)
    moment = (moments.second / max(moments.count, 1)).astype(np.float32)
    # A channel that is always 0 says nothing of its weights: nearest is best for them.
    silent = ~np.trace(moment, axis1=1, axis2=2).astype(bool)
    moment[silent] = np.eye(moment.shape[1], dtype=np.float32)
    return moment


def _shift(walk: LayerWalk, layer: QuantizedLayer) -> Array:
    """What the bias lacks, per channel."""
    axis = layer.channel_axis
    means = [
        _channel_means(right, axis) - _channel_means(now, axis)
        for right, now in walk.outputs(layer)
    ]
    differences = np.array(means)
    mean = differences.mean(axis=0)
    if len(differences) < 2:
        return np.asarray(mean)
    chance = differences.var(axis=0, ddof=1) / len(differences)
    share = np.maximum(0.0, 1.0 - chance / np.maximum(mean**2, np.finfo(np.float64).tiny))
    return np.asarray(share * mean)


def _channel_means(array: Array, axis: int) -> Array:
    others = tuple(i for i in range(array.ndim) if i != axis % array.ndim)
    return np.asarray(array.mean(axis=others, dtype=np.float64))


def _sqnrs(
    model: Model,
    plan: Plan,
    activations: Mapping[str, QParams],
    trials: Sequence[Correction],
    probes: Sequence[Feed],
) -> list[float | None]:
    """Mean SQNR of the outputs in dB of each trial."""
    run = runner(open_session(model))
    expected = [run(feed) for feed in probes]
    found = []
    for trial in trials:
        quantized = trial.corrected(model)
        apply_passes(quantized, [InsertQDQ(plan, activations, trial.weights)])
        judged = runner(open_session(quantized))
        found.append(mean_sqnr(compare_outputs(_repeated(expected), judged, probes)))
    return found


def _repeated(outputs: Sequence[Mapping[str, Array]]) -> Run:
    """Gives known outputs, in their order, instead of running."""
    following = iter(outputs)
    return lambda _: next(following)
