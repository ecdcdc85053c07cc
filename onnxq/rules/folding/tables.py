"""What each operator does with an affine map of its result, and of its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxq.rules.folding import (
    choices,
    convolution,
    gemm,
    joining,
    matmul,
    norms,
    padding,
    picking,
    products,
    sums,
    transports,
)
from onnxq.rules.folding.planner import Downwards, Planner, Upwards
from onnxq.rules.workspace import Workspace

UPWARDS: dict[str, Upwards] = {
    **dict.fromkeys(transports.TRANSPORTS, transports.back),
    "Conv": convolution.give,
    "ConvTranspose": convolution.give,
    "Gemm": gemm.give,
    "MatMul": matmul.give,
    "Mul": products.give,
    "Div": products.give,
    "Neg": products.give_negative,
    "Add": sums.give,
    "Sub": sums.give,
    "Sum": sums.give,
    "Max": choices.give,
    "Min": choices.give,
    "Where": choices.give,
    "Clip": choices.give_clip,
    "BatchNormalization": norms.give,
    "InstanceNormalization": norms.give,
    "LayerNormalization": norms.give,
    "GroupNormalization": norms.give,
    "RMSNormalization": norms.give,
    "Concat": joining.give_concat,
    "Split": joining.give_split,
    "Slice": picking.give,
    "Gather": picking.give,
    "Pad": padding.give,
}
"""What changes so that a node's result is the map of what it is now."""

DOWNWARDS: dict[str, Downwards] = {
    **dict.fromkeys(transports.TRANSPORTS, transports.forth),
    "Conv": convolution.take,
    "ConvTranspose": convolution.take,
    "Gemm": gemm.take,
    "MatMul": matmul.take,
    "Mul": products.take,
    "Div": products.take,
    "Neg": products.take_negative,
    "Add": sums.take,
    "Sub": sums.take,
    "Sum": sums.take,
    "Max": choices.take,
    "Min": choices.take,
    "Where": choices.take,
    "Clip": choices.take_clip,
    "HardSigmoid": choices.take_hard_sigmoid,
    "BatchNormalization": norms.take_batch_norm,
    "Concat": joining.take_concat,
    "Split": joining.take_split,
    "Slice": picking.take,
    "Gather": picking.take,
    "Pad": padding.take,
}
"""What changes so that a node takes an input for the map of it."""


def planner(work: Workspace, dtype: np.dtype[Any]) -> Planner:
    """A planner that knows all operators."""
    return Planner(work, dtype, UPWARDS, DOWNWARDS)
