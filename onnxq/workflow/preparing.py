"""What is done to a float model before anything is quantized: exact passes, in this order."""

from __future__ import annotations

from collections.abc import Sequence

from onnxq.engine import Feed
from onnxq.errors import PreconditionError
from onnxq.graph import Model
from onnxq.passes import (
    DeduplicateConstants,
    FoldConstants,
    FoldGemmScalars,
    FreezeDefaults,
    FuseBatchNorm,
    FuseGelu,
    FusePad,
    InlineFunctions,
    LowerConstants,
    Pass,
    RemoveDeadNodes,
    RemoveIdentities,
    RunResult,
    UpgradeOpset,
    run,
)

_AFTER_CONVERSION: tuple[Pass, ...] = (LowerConstants(), FoldConstants(widen_weights=True))
"""The converter writes new constants as nodes."""

EXACT_PASSES: tuple[Pass, ...] = (
    InlineFunctions(),
    RemoveDeadNodes(),
    FreezeDefaults(),
    LowerConstants(),
    FoldConstants(widen_weights=True),
    RemoveIdentities(),
    FoldGemmScalars(),
    FusePad(),
    FuseBatchNorm(),
    FuseGelu(),
    DeduplicateConstants(),
)


def prepare(model: Model, samples: Sequence[Feed] | None) -> RunResult:
    """Run the exact passes on `model` in place and compare the outputs on `samples`."""
    model.keep_node_names()
    return run(model, EXACT_PASSES, samples=samples)


def upgrade(model: Model, opset: int, samples: Sequence[Feed] | None) -> RunResult:
    """Raise the operator set of `model` in place, and tidy up what the conversion leaves.

    Raises:
        PreconditionError: if the model cannot be converted, or computes something else then.
    """
    before = model.opset
    outcome = run(model, (UpgradeOpset(opset), *_AFTER_CONVERSION), samples=samples)
    if model.opset < opset:
        raise PreconditionError(
            f"cannot be converted from operator set {before} to {opset}",
            why=f"the conversion was withdrawn: {outcome.reports[0].withdrawn}",
            remedy=f"export the model with opset {opset} or later",
        )
    return outcome
