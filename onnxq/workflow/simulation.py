"""What any subset of a plan's quantizations costs at the outputs, without building a model for it.

Which quantization costs how much is told by the noise that each causes alone, since errors of
single quantizations nearly add up as noise power. What comes before the first one that is on
has been computed once and is not run again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.engine import Feed
from onnxq.graph import Model, copy_model, read
from onnxq.measure import SQNR_CAP, compare_outputs, mean_sqnr
from onnxq.passes import InsertSwitches, apply_passes, nearest_codes, stored_constant, switch_input
from onnxq.plan import Plan, Use
from onnxq.quant import Codes, QParams
from onnxq.workflow.chain import Chain, Values
from onnxq.workflow.judging import before_softmax

Switch = str | Use
"""A quantized activation by its name; a weight, or data quantized at run time, by its use."""

CEILING = SQNR_CAP
"""SQNR in dB above which an error counts as none."""

_PARTS = 4

_MOST_NOISE = 1e10
"""Noise over signal that stands for infinite."""


class Simulation:
    """A float model whose planned quantizations can be switched on.

    Attributes:
        model: The float model.
        plan: What is quantized.
        switches: All quantizations.
        runs: How often the model was run, counting the end of it as a fraction.
    """

    def __init__(
        self,
        model: Model,
        plan: Plan,
        parameters: Mapping[str, QParams],
        probes: Iterable[Feed],
        weights: Mapping[Use, Codes] | None = None,
    ) -> None:
        """Make a model that can be switched, and run it once over the probes.

        Args:
            model: The float model that the plan was made for. It is not changed.
            plan: What is quantized.
            parameters: Of every activation in the plan, by tensor name.
            probes: Samples.
            weights: As for `InsertQDQ`.

        Raises:
            ModelError: if the model does not run.
        """
        self.model, self.plan = model, plan
        twin = copy_model(model)
        apply_passes(twin, [InsertSwitches(plan, parameters)])
        self._outputs = [tensor.name for tensor in twin.outputs]
        measured = {tensor.name: before_softmax(tensor) for tensor in twin.outputs}
        self._measured = {name: tensor.name for name, tensor in measured.items()}
        known = {id(tensor) for tensor in twin.outputs}
        twin.graph.outputs += [t for t in measured.values() if id(t) not in known]
        self._chain = Chain(twin, _PARTS)
        if weights is None:
            weights = nearest_codes(model, plan, parameters)
        self.switches: tuple[Switch, ...] = plan.quantizations
        self._off, self._on = _values(model, plan, weights)
        self._first = {s: self._chain.first_reader(switch_input(s)) for s in self.switches}
        self._states = [self._chain.states({**feed, **self._off}) for feed in probes]
        self.runs = float(len(self._states))

    def run(self, feed: Feed, on: Collection[Switch]) -> dict[str, NDArray[Any]]:
        """The outputs for a sample with these quantizations."""
        self.runs += 1.0
        found = self._chain.finish({**feed, **self._off, **self._changes(on)}, 0)
        return {name: found[name] for name in self._outputs}

    def sqnr(self, on: Collection[Switch]) -> float:
        """Mean SQNR of the float outputs in dB with these quantizations, at most CEILING.

        Before a Softmax that ends the model, as for `Judge.sqnr`.

        Switches that this simulation does not know count as off.
        """
        value = self._sqnr(self._pairs(on))
        return CEILING if value is None else min(value, CEILING)

    def noise(self, on: Collection[Switch]) -> float:
        """Noise over signal of the outputs; errors of single quantizations nearly add up.

        Each output counts as the share of the noise that all quantizations together cause in it,
        so that none hides another; all of them together are the noise that `sqnr` tells. Behind
        a Softmax the noise before it is meant: probabilities leap where the argmax changes.
        """
        total, whole = self._all
        found = self._noises(self._pairs(on))
        shares = [found[name] / most for name, most in whole.items() if most > 0.0]
        return total * float(np.mean(shares)) if shares else 0.0

    @cached_property
    def _all(self) -> tuple[float, Mapping[str, float]]:
        pairs = self._pairs(self.switches)
        sqnr = self._sqnr(pairs)
        return 10 ** (-(CEILING if sqnr is None else sqnr) / 10), self._noises(pairs)

    def _changes(self, on: Collection[Switch]) -> Values:
        names = (switch_input(switch) for switch in on)
        return {name: self._on[name] for name in names if name in self._on}

    def _pairs(self, on: Collection[Switch]) -> list[tuple[Values, Values]]:
        """What the float model and the model with these quantizations return for each probe."""
        changes = self._changes(on)
        start = min((self._first[s] for s in on if s in self._first), default=self._chain.parts)
        self.runs += len(self._states) * (1.0 - start / self._chain.parts)
        return [
            (states[-1], self._chain.finish({**states[start], **changes}, start))
            for states in self._states
        ]

    def _sqnr(self, pairs: list[tuple[Values, Values]]) -> float | None:
        expected, found = iter([a for a, _ in pairs]), iter([b for _, b in pairs])
        return mean_sqnr(
            compare_outputs(
                lambda _: self._returned(next(expected)),
                lambda _: self._returned(next(found)),
                [{}] * len(pairs),
            )
        )

    def _returned(self, values: Values) -> Values:
        return {output: values[name] for output, name in self._measured.items()}

    def _noises(self, pairs: list[tuple[Values, Values]]) -> dict[str, float]:
        return {
            output: _noise_over_signal([(a[name], b[name]) for a, b in pairs])
            for output, name in self._measured.items()
        }


def _values(model: Model, plan: Plan, weights: Mapping[Use, Codes]) -> tuple[Values, Values]:
    """What the added inputs take when everything is off, and when everything is on."""
    nodes = {node.name: node for node in model.nodes}
    off: dict[str, NDArray[Any]] = {}
    on: dict[str, NDArray[Any]] = {}
    for switch in plan.quantizations:
        name = switch_input(switch)
        if isinstance(switch, Use) and switch in plan.operands:
            value = read(stored_constant(nodes, switch))
            off[name] = np.require(value, requirements=["C_CONTIGUOUS", "ALIGNED"])
            on[name] = weights[switch].floats()
            continue
        off[name], on[name] = np.zeros((), bool), np.ones((), bool)
    return off, on


def _noise_over_signal(pairs: list[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    """Over all samples; 0 for what is not a float tensor."""
    signal = noise = 0.0
    for expected, found in pairs:
        if not isinstance(expected, np.ndarray) or expected.dtype.kind != "f":
            return 0.0
        if expected.shape != found.shape:
            return 1.0
        usable = np.isfinite(expected)
        a, b = expected[usable].astype(np.float64), found[usable].astype(np.float64)
        signal += float(a @ a)
        noise += float((a - b) @ (a - b))
    if not noise:
        return 0.0
    ratio = noise / signal if signal else _MOST_NOISE
    return min(ratio, _MOST_NOISE) if np.isfinite(ratio) else _MOST_NOISE
