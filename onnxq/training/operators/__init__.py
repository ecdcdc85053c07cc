"""What ONNX's operators mean in torch: one function each, in tables by name and operator set."""

from onnxq.training.operators import (
    attention,
    convolution,
    elementwise,
    gather,
    logic,
    losses,
    microsoft,
    normalisation,
    pooling,
    products,
    quantized,
    quantized_convolution,
    recurrent,
    reduction,
    resize,
    shape,
    signal,
)
from onnxq.training.operators.operator import Operator, Table
from onnxq.training.operators.types import CODE_RANGES, TORCH_TYPES, array_of, tensor_of

OPERATORS: dict[str, Table] = {
    "": {
        **elementwise.TABLE,
        **logic.TABLE,
        **products.TABLE,
        **convolution.TABLE,
        **pooling.TABLE,
        **normalisation.TABLE,
        **shape.TABLE,
        **gather.TABLE,
        **reduction.TABLE,
        **attention.TABLE,
        **recurrent.TABLE,
        **resize.TABLE,
        **signal.TABLE,
        **quantized.TABLE,
        **quantized_convolution.TABLE,
        **losses.TABLE,
        **microsoft.MISPLACED,
    },
    "com.microsoft": microsoft.TABLE,
}
"""All operators, by domain ('' is ONNX itself)."""


def find_operator(domain: str, name: str, opset: int) -> Operator | None:
    """The operator as of a version of its domain's operator set; None if it is not supported."""
    versions = OPERATORS.get("" if domain == "ai.onnx" else domain, {}).get(name, {})
    known = [version for version in versions if version <= opset]
    return versions[max(known)] if known else None


__all__ = [
    "CODE_RANGES",
    "OPERATORS",
    "TORCH_TYPES",
    "Operator",
    "Table",
    "array_of",
    "find_operator",
    "tensor_of",
]
