"""What sparsity is worth: to an engine, in bytes, and to each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import read
from onnxq.plan import Use
from onnxq.pruning.nm import WEIGHT, SparseLayer
from onnxq.quant import Pattern
from onnxq.targets import Target
from onnxq.workflow.sparsify_result import PackedSize, SparsifiedLayer, decibels_of

Array = NDArray[Any]


def gain_of(target: Target, pattern: Pattern) -> str:
    """What an engine makes of a pattern, in words."""
    engine = target.sparsity
    if not engine.patterns:
        return f"{target.name} gains nothing: {engine.note}"
    if str(pattern) not in engine.patterns:
        return f"{target.name} has no kernel for {pattern}, only for {', '.join(engine.patterns)}"
    return f"{target.name} has kernels for {pattern}: {engine.note}"


def described(
    layer: SparseLayer, weights: Mapping[Use, Array], errors: Mapping[str, float]
) -> SparsifiedLayer:
    """What became of a layer.

    Args:
        layer: It, in the sparse model.
        weights: The new weights by use.
        errors: Relative squared errors of layers' outputs by node.
    """
    tensor = layer.node.inputs[WEIGHT]
    value = weights[Use(layer.node.name, WEIGHT)]
    return SparsifiedLayer(
        node=layer.node.name,
        op=layer.node.op,
        weight=tensor.name,
        shape=layer.shape,
        axis=layer.layout.axis,
        zeros=1.0 - np.count_nonzero(value) / max(value.size, 1),
        sqnr=decibels_of(errors[layer.node.name]),
    )


def packed_size(layers: Sequence[SparseLayer], pattern: Pattern) -> PackedSize:
    """What packing the weights of some layers would save; shared ones count once."""
    constants = {id(t): t for layer in layers if (t := layer.node.inputs[WEIGHT])}
    arrays = [read(tensor) for tensor in constants.values()]
    elements = sum(array.size for array in arrays)
    dense = sum(array.nbytes for array in arrays)
    bits = 8 * dense // max(elements, 1)
    return PackedSize(
        elements=elements,
        bits=bits,
        dense=dense,
        packed=round(dense * pattern.packed_share(bits)),
        packed_int8=round(elements * pattern.packed_share(8)),
    )
