"""What each operator does with a factor of a tensor that it reads or writes."""

from __future__ import annotations

from onnxq.rules.folding.transports import TRANSPORTS
from onnxq.rules.scaling import elementwise, layers, moving
from onnxq.rules.scaling.flow import Handler

HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(TRANSPORTS, moving.pass_transport),
    **dict.fromkeys(("Conv", "ConvTranspose"), layers.pass_convolution),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), layers.pass_normalization),
    **dict.fromkeys(
        ("BatchNormalization", "InstanceNormalization"), layers.pass_channel_normalization
    ),
    **dict.fromkeys(("Add", "Sub", "Sum"), elementwise.pass_sum),
    **dict.fromkeys(("Mul", "Div"), elementwise.pass_multiplication),
    "Gemm": layers.pass_gemm,
    "MatMul": layers.pass_product,
    "Clip": elementwise.pass_clip,
    "Concat": moving.pass_concat,
    "Split": moving.pass_split,
    "Slice": moving.pass_slice,
    "Pad": moving.pass_pad,
}
"""Operators that are not here hold the factor at 1."""
