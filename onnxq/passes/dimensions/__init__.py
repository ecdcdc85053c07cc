"""Free dimensions followed through a model: shapes and shape arithmetic as terms."""

from onnxq.passes.dimensions.algebra import (
    Dimension,
    broadcast,
    broadcast_shapes,
    extent,
    function,
    is_dimension,
    may_be_empty,
    product,
    quotient,
    symbol,
)
from onnxq.passes.dimensions.analysis import know
from onnxq.passes.dimensions.arranging import ENDLESS, slice_bounds
from onnxq.passes.dimensions.knowledge import Knowledge
from onnxq.passes.dimensions.known import (
    Dimensions,
    Known,
    content_of,
    integers,
    operand,
    whole,
)

__all__ = [
    "ENDLESS",
    "Dimension",
    "Dimensions",
    "Knowledge",
    "Known",
    "broadcast",
    "broadcast_shapes",
    "content_of",
    "extent",
    "function",
    "integers",
    "is_dimension",
    "know",
    "may_be_empty",
    "operand",
    "product",
    "quotient",
    "slice_bounds",
    "symbol",
    "whole",
]
