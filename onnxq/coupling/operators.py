"""Which operator carries labels how."""

from __future__ import annotations

from collections.abc import Mapping

from onnxq.coupling.contracting import pass_gemm, pass_matmul
from onnxq.coupling.convolving import pass_conv, pass_conv_transpose
from onnxq.coupling.cutting import pass_concat, pass_gather, pass_pad, pass_slice, pass_split
from onnxq.coupling.elementwise import BROADCAST, pass_broadcast, pass_clip, pass_unary
from onnxq.coupling.functions import UNARY
from onnxq.coupling.moving import (
    pass_depth_to_space,
    pass_expand,
    pass_filled,
    pass_reshape,
    pass_space_to_depth,
    pass_tile,
    pass_transpose,
)
from onnxq.coupling.normalizing import (
    pass_batch_norm,
    pass_group_norm,
    pass_instance_norm,
    pass_layer_norm,
    pass_lp_norm,
    pass_pool,
    pass_reduce,
    pass_resize,
    pass_shape,
    pass_softmax,
)
from onnxq.coupling.quantized import pass_quantized
from onnxq.coupling.recurrent import pass_recurrent
from onnxq.coupling.walk import Handler

HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys(UNARY, pass_unary),
    **dict.fromkeys(BROADCAST, pass_broadcast),
    "AveragePool": pass_pool,
    "BatchNormalization": pass_batch_norm,
    "Clip": pass_clip,
    "Concat": pass_concat,
    "Constant": pass_shape,
    "ConstantOfShape": pass_filled,
    "Conv": pass_conv,
    "ConvTranspose": pass_conv_transpose,
    "DepthToSpace": pass_depth_to_space,
    "DequantizeLinear": pass_quantized,
    "Expand": pass_expand,
    "Flatten": pass_reshape,
    "GRU": pass_recurrent,
    "Gather": pass_gather,
    "Gemm": pass_gemm,
    "GlobalAveragePool": pass_pool,
    "GlobalLpPool": pass_pool,
    "GlobalMaxPool": pass_pool,
    "GroupNormalization": pass_group_norm,
    "Hardmax": pass_softmax,
    "InstanceNormalization": pass_instance_norm,
    "LRN": pass_group_norm,
    "LSTM": pass_recurrent,
    "LayerNormalization": pass_layer_norm,
    "LogSoftmax": pass_softmax,
    "LpNormalization": pass_lp_norm,
    "LpPool": pass_pool,
    "MatMul": pass_matmul,
    "MaxPool": pass_pool,
    "MeanVarianceNormalization": pass_group_norm,
    "Pad": pass_pad,
    "QuantizeLinear": pass_quantized,
    "RMSNormalization": pass_layer_norm,
    "RNN": pass_recurrent,
    "Range": pass_shape,
    "ReduceL1": pass_reduce,
    "ReduceL2": pass_reduce,
    "ReduceMax": pass_reduce,
    "ReduceMean": pass_reduce,
    "ReduceMin": pass_reduce,
    "ReduceProd": pass_reduce,
    "ReduceSum": pass_reduce,
    "ReduceSumSquare": pass_reduce,
    "Reshape": pass_reshape,
    "Resize": pass_resize,
    "Shape": pass_shape,
    "Size": pass_shape,
    "Slice": pass_slice,
    "Softmax": pass_softmax,
    "SpaceToDepth": pass_space_to_depth,
    "Split": pass_split,
    "Squeeze": pass_reshape,
    "Tile": pass_tile,
    "Transpose": pass_transpose,
    "Unsqueeze": pass_reshape,
    "Upsample": pass_resize,
}
