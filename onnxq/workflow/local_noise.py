"""How much each layer errs by itself, if it reads what the float model computes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from onnxq.engine import Feed, Optimization, open_session, runner
from onnxq.graph import copy_model
from onnxq.passes import InsertTwins, apply_passes, sums_of
from onnxq.workflow.workbench import Quantization


def local_sqnr(quantization: Quantization, probes: Sequence[Feed]) -> dict[str, float | None]:
    """SQNR in dB of every layer's own output, if it reads what the float model computes.

    Infinite if the output is exact, None if it is zero.

    Raises:
        ModelError: if the model does not run.
    """
    twin, plan = copy_model(quantization.decided.model), quantization.plan
    if not plan.integer_nodes:
        return {}
    insertion = InsertTwins(plan, quantization.parameters, quantization.weights)
    apply_passes(twin, [insertion])
    # Optimized, the engine would round the twins' weights once more, per tensor.
    run = runner(open_session(twin, optimization=Optimization.NONE))
    sums = dict.fromkeys((output for n in plan.integer_nodes for output in sums_of(n)), 0.0)
    for feed in probes:
        for name, value in run(feed).items():
            sums[name] += float(value)
    return {
        name: _ratio(*(sums[output] for output in sums_of(name))) for name in plan.integer_nodes
    }


def _ratio(signal: float, noise: float) -> float | None:
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal > 0.0 else None
