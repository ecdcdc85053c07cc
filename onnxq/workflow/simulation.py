"""What any subset of a plan's quantizations costs at the outputs, from one session."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from onnxq.engine import Feed, open_session, runner
from onnxq.graph import Model, copy_model
from onnxq.measure import compare_outputs
from onnxq.passes import SWITCHES, InsertSwitches, apply_passes
from onnxq.plan import Plan, Use
from onnxq.quant import Codes, QParams
from onnxq.workflow.choosing import mean_sqnr

Switch = str | Use
"""A quantized activation by its name, or a stored weight by its use."""

CEILING = 100.0
"""SQNR in dB above which an error counts as none."""


class Simulation:
    """A float model whose planned quantizations can be switched on.

    Attributes:
        switches: All of them.
        runs: How often the model was run over the probes.
    """

    def __init__(
        self,
        model: Model,
        plan: Plan,
        parameters: Mapping[str, QParams],
        probes: Sequence[Feed],
        weights: Mapping[Use, Codes] | None = None,
    ) -> None:
        insertion = InsertSwitches(plan, parameters, weights)
        twin = copy_model(model)
        apply_passes(twin, [insertion])
        self.switches: tuple[Switch, ...] = tuple(insertion.switches)
        self.runs = 0
        self._places = {switch: place for place, switch in enumerate(self.switches)}
        self._run = runner(open_session(twin))
        self._feeds = [dict(feed) for feed in probes]
        off = np.zeros(len(self.switches), bool)
        self._expected = [self._run({**feed, SWITCHES: off}) for feed in self._feeds]

    def sqnr(self, on: Collection[Switch]) -> float:
        """Mean SQNR of the float outputs in dB with these quantizations, at most CEILING.

        Switches that this simulation does not know count as off.
        """
        state = np.zeros(len(self.switches), bool)
        state[[self._places[switch] for switch in on if switch in self._places]] = True
        expected = iter(self._expected)
        self.runs += 1
        found = compare_outputs(
            lambda _: next(expected),
            lambda feed: self._run({**feed, SWITCHES: state}),
            self._feeds,
        )
        value = mean_sqnr(found)
        return CEILING if value is None else min(value, CEILING)

    def noise(self, on: Collection[Switch]) -> float:
        """Noise over signal of the outputs; errors of single quantizations nearly add up."""
        return float(10 ** (-self.sqnr(on) / 10))
