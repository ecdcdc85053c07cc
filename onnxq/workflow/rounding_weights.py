"""Round the weights of a plan: to nearest, with scales found by HQQ, or with GPTQ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TypeAlias

import numpy as np

from onnxq.calibration import Moments
from onnxq.engine import Feed
from onnxq.graph import Model, copy_model, read, sparse_layers
from onnxq.passes import (
    InsertQDQ,
    apply_passes,
    nearest_codes,
    stored_constant,
    weight_parameters,
)
from onnxq.plan import Bias, Plan, Use
from onnxq.quant import (
    Codes,
    Learned,
    Learning,
    QParams,
    Splitting,
    hqq_qparams,
    learn_codes,
    quantize_bias,
)
from onnxq.workflow.weight_inputs import Layer, collect_moments, layers_of

_MOMENT_BYTES = 1 << 29
_FEW_BITS = 4


@dataclass(frozen=True)
class Nearest:
    """Every weight to its nearest code.

    Attributes:
        search: Choose scales of least squared error instead of those that cover all weights.
    """

    search: bool = False


@dataclass(frozen=True)
class Hqq:
    """To the nearest code of scales that HQQ finds, from the weights alone.

    Attributes:
        splitting: The constants of the iteration.
        search: Where it starts: at scales of least squared error, or at those that cover all.
    """

    splitting: Splitting = field(default_factory=Splitting)
    search: bool = True


@dataclass(frozen=True)
class Gptq:
    """Codes, and scales, that keep every layer's outputs on samples.

    Attributes:
        learning: How hard to look; None for `learning_for` the bits of each weight.
        search: Where scales start: see `Nearest`.
        vectors: Inputs of a layer taken from a sample, at most.
        centred: Only the varying part of a layer's error counts: right where its mean is put into
            the bias afterwards.
        steps: 1 rounds all layers for the inputs that they have in the float model. More divide
            the layers into so many steps in topological order: each looks at the inputs that it
            gets from quantized activations and the layers already rounded.
    """

    learning: Learning | None = None
    search: bool = False
    vectors: int = 256
    centred: bool = False
    steps: int = 1


RoundingMethod: TypeAlias = Nearest | Hqq | Gptq


@dataclass(frozen=True)
class LayerError:
    """What rounding did to a layer.

    Attributes:
        use: Its weight.
        nearest: Sum of squared output errors on the samples with the weight rounded to nearest.
        error: The same with the codes found: never larger. Both are equal where the codes found
            were of no use.
    """

    use: Use
    nearest: float
    error: float


@dataclass(frozen=True)
class RoundedWeights:
    """The codes of all weights and tables of a plan, and what the layers gained."""

    codes: Mapping[Use, Codes]
    layers: tuple[LayerError, ...] = ()


def learning_for(bits: int) -> Learning:
    """What is worth its time at a width.

    Up to 4 bits, scales that cover the largest weight waste much. With 8 bits the codes alone gain
    nearly all, and scales fitted on few samples lose some of it on others.
    """
    return Learning() if bits <= _FEW_BITS else Learning(sweeps=1, refits=0, search_scales=False)


def round_weights(
    model: Model,
    plan: Plan,
    activations: Mapping[str, QParams],
    feeds: Iterable[Feed],
    method: RoundingMethod,
) -> RoundedWeights:
    """Round every weight and table of a plan.

    Args:
        model: The float model that the plan was made for. It is not changed.
        plan: What is stored in integers.
        activations: Parameters of every activation in the plan, by tensor name.
        feeds: Samples that can be read again: once per step, and more often where second moments
            take more than 512 MB. Methods that look at weights alone do not read them.
        method: How.

    Raises:
        DataError: There is no sample, and the method needs some.

    Memory with `Gptq`: 512 MB of second moments or those of a single layer, a copy of the model,
    and one sample's layer inputs.
    """
    match method:
        case Nearest(search):
            return RoundedWeights(nearest_codes(model, plan, activations, search=search))
        case Hqq():
            return RoundedWeights(_hqq(model, plan, activations, method))
        case Gptq():
            return _Rounding(model, plan, activations, feeds, method).run()


def _hqq(
    model: Model, plan: Plan, activations: Mapping[str, QParams], method: Hqq
) -> dict[Use, Codes]:
    nodes = {node.name: node for node in model.nodes}
    given = weight_parameters(model, plan, activations, search=method.search)
    codes = nearest_codes(model, plan, activations, search=method.search)
    known: dict[int, Codes] = {}
    found: dict[Use, Codes] = {}
    for use, before in codes.items():
        if id(before) not in known:
            weight = read(stored_constant(nodes, use))
            after = hqq_qparams(weight, given[use], method.splitting)
            known[id(before)] = Codes.nearest(weight, after)
        found[use] = known[id(before)]
    fit = _biases_that_fit(model, plan, activations, found)
    return {use: found[use] if use in fit else codes[use] for use in found}


def _biases_that_fit(
    model: Model, plan: Plan, activations: Mapping[str, QParams], codes: Mapping[Use, Codes]
) -> set[Use]:
    """The weights with whose scales their int32 bias does not overflow."""
    nodes = {node.name: node for node in model.nodes}
    fit = set(codes)
    for use, operand in plan.operands.items():
        if isinstance(operand, Bias) and operand.weight in codes:
            scale = codes[operand.weight].parameters.scale
            bias = read(stored_constant(nodes, use)).reshape(-1)
            _, needed = quantize_bias(bias, activations[operand.input].scale, scale)
            if not np.array_equal(needed, scale):
                fit.discard(operand.weight)
    return fit


@dataclass
class _Rounding:
    """One run of GPTQ; `codes` starts out as rounded to nearest, and is replaced by and by."""

    model: Model
    plan: Plan
    activations: Mapping[str, QParams]
    feeds: Iterable[Feed]
    method: Gptq

    def __post_init__(self) -> None:
        search = self.method.search
        self.nodes = {node.name: node for node in self.model.nodes}
        self.codes = nearest_codes(self.model, self.plan, self.activations, search=search)
        self.errors: list[LayerError] = []
        self.sparse = sparse_layers(self.model)

    def run(self) -> RoundedWeights:
        """Round everything."""
        for step in _steps(layers_of(self.model, self.plan), self.method.steps):
            read_by = self.model if self.method.steps == 1 else self._so_far()
            found: dict[Use, Learned] = {}
            for batch in _batches(step):
                most = self.method.vectors
                moments = collect_moments(batch, read_by, self.feeds, most=most)
                for layer in batch:
                    found[layer.use] = self._learn(layer, moments[layer.key], found)
            self._take(found)
        return RoundedWeights(self.codes, tuple(self.errors))

    def _so_far(self) -> Model:
        changed = copy_model(self.model)
        apply_passes(changed, [InsertQDQ(self.plan, self.activations, self.codes)])
        return changed

    def _learn(self, layer: Layer, moments: Moments, found: Mapping[Use, Learned]) -> Learned:
        before = self.codes[layer.use]
        for use, learned in found.items():
            if self.codes[use] is before:
                return learned  # The same constant with the same inputs.
        moments = moments.centred() if self.method.centred else moments
        weight = read(stored_constant(self.nodes, layer.use))
        learning = self.method.learning or learning_for(before.parameters.scheme.qtype.bits)
        return learn_codes(
            weight,
            before.parameters,
            layer.products,
            moments.second,
            learning,
            weight == 0 if layer.use.node in self.sparse else None,
        )

    def _take(self, found: Mapping[Use, Learned]) -> None:
        """Replace codes by those found, except where an int32 bias would overflow."""
        codes = {use: learned.codes for use, learned in found.items()}
        fit = _biases_that_fit(self.model, self.plan, self.activations, codes)
        for use, learned in found.items():
            taken = use in fit
            if taken:
                self.codes[use] = learned.codes
            error = learned.error if taken else learned.nearest
            self.errors.append(LayerError(use, learned.nearest, error))


def _steps(layers: Sequence[Layer], count: int) -> Iterator[Sequence[Layer]]:
    """The layers in at most so many runs; those with equal inputs stay together."""
    keys = list(dict.fromkeys(layer.key for layer in layers))
    size = max(1, ceil(len(keys) / count))
    for first in range(0, len(keys), size):
        chosen = set(keys[first : first + size])
        yield [layer for layer in layers if layer.key in chosen]


def _batches(layers: Sequence[Layer]) -> Iterator[Sequence[Layer]]:
    """The layers by shares whose moments fit into memory together."""
    sizes = {layer.key: layer.moment_bytes for layer in layers}
    chosen: set[object] = set()
    total = 0
    for key, size in sizes.items():
        if chosen and total + size > _MOMENT_BYTES:
            yield [layer for layer in layers if layer.key in chosen]
            chosen, total = set(), 0
        chosen.add(key)
        total += size
    if chosen:
        yield [layer for layer in layers if layer.key in chosen]
