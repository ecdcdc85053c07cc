"""What is done to a float model before anything is quantized: exact passes, in this order."""

from __future__ import annotations

from collections.abc import Sequence

from onnxq.engine import Feed
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
    """Raise the operator set of `model` in place, and tidy up what the conversion leaves."""
    passes = (UpgradeOpset(opset), *_AFTER_CONVERSION)
    return run(model, passes, samples=samples)
