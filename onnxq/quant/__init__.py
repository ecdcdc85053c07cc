"""Number formats: integer types, granularities, schemes, scales, and the arithmetic on them.

Pure numpy, bit-exact with ONNX's QuantizeLinear and DequantizeLinear.
"""

from onnxq.quant.arithmetic import dequantize, quantize
from onnxq.quant.bias import LARGEST_BIAS_CODE, BiasQParams, bias_qparams, quantize_bias
from onnxq.quant.choose import choose_qparams, qparams_of
from onnxq.quant.codes import Codes
from onnxq.quant.gptq import inverse_factor
from onnxq.quant.granularity import Granularity, PerBlock, PerChannel, PerTensor
from onnxq.quant.half import LARGEST_HALF, SMALLEST_HALF, half_above, half_below, nearest_half
from onnxq.quant.hqq import Splitting, hqq_qparams
from onnxq.quant.learned import Learned, Learning, learn_codes
from onnxq.quant.mse import mse_qparams
from onnxq.quant.pattern import Pattern
from onnxq.quant.products import Products
from onnxq.quant.qparams import QParams
from onnxq.quant.qtype import QType
from onnxq.quant.scheme import Scheme

__all__ = [
    "LARGEST_BIAS_CODE",
    "LARGEST_HALF",
    "SMALLEST_HALF",
    "BiasQParams",
    "Codes",
    "Granularity",
    "Learned",
    "Learning",
    "Pattern",
    "PerBlock",
    "PerChannel",
    "PerTensor",
    "Products",
    "QParams",
    "QType",
    "Scheme",
    "Splitting",
    "bias_qparams",
    "choose_qparams",
    "dequantize",
    "half_above",
    "half_below",
    "hqq_qparams",
    "inverse_factor",
    "learn_codes",
    "mse_qparams",
    "nearest_half",
    "qparams_of",
    "quantize",
    "quantize_bias",
]
