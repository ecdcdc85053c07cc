"""How batch normalisation behaves while a model is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from enum import Enum
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from onnxq.errors import DataError
from onnxq.training.blueprint import Operation
from onnxq.training.operators import Operator


class BatchNormMode(Enum):
    """What is done with BatchNormalization.

    FROZEN: the running statistics are used and stay; scale and bias train.
    TRAINED: while the module trains, each batch is normalised by its own statistics, which
        the running ones follow; in evaluation as frozen.
    FOLDED: as frozen, but scale and statistics are multiplied into the weight of the
        convolution before, so that a transform of that weight sees it as inference will.
    """

    FROZEN = "frozen"
    TRAINED = "trained"
    FOLDED = "folded"


def rewrite_batch_norms(
    operations: Sequence[Operation],
    mode: BatchNormMode,
    statistics: Collection[str],
    wanted: Collection[str],
    *,
    training: bool,
) -> tuple[list[Operation], dict[str, str]]:
    """The operations as the mode wants them.

    Args:
        operations: The nodes in order.
        mode: The mode.
        statistics: Names of the running statistics that belong to the module.
        wanted: Names of tensors to return, which must not be folded away.
        training: Whether the module trains.

    Returns:
        The operations, and by the name of each folded tensor that of the tensor it stands for.
    """
    if mode is BatchNormMode.TRAINED and training:
        return [_trained(operation, statistics) for operation in operations], {}
    if mode is BatchNormMode.FOLDED:
        return _folded(operations, wanted)
    return list(operations), {}


def train_batch_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float,
    momentum: float,
    name: str,
) -> Tensor:
    """Normalise by the batch's statistics, and let the running ones follow, in place.

    ONNX's momentum is the share of the old value, torch's that of the new one. The running
    variance follows the unbiased one, as torch has it.

    Raises:
        DataError: if there is a single value for each channel.
    """
    require_several(x, f"'{name}'")
    return functional.batch_norm(
        x, mean, variance, scale, bias, training=True, momentum=1.0 - momentum, eps=epsilon
    )


def require_several(x: Tensor, where: str) -> None:
    """Refuse a batch [samples, channels, …] whose channels have no variance.

    Raises:
        DataError: if there is a single value for each channel.
    """
    if x.numel() <= x.shape[1]:
        raise DataError(
            "a batch holds a single value for each channel, which has no variance",
            where=where,
            why="the statistics of BatchNormalization follow the batches",
            remedy="train with larger batches, or with statistics that stand still",
        )


def _trained(operation: Operation, statistics: Collection[str]) -> Operation:
    if operation.op != "BatchNormalization" or not set(operation.inputs[3:5]) <= set(statistics):
        return operation
    momentum = operation.attributes.get("momentum", 0.9)
    epsilon = operation.attributes.get("epsilon", 1e-5)
    run = partial(train_batch_norm, epsilon=epsilon, momentum=momentum, name=operation.name)
    return replace(operation, run=run, outputs=operation.outputs[:1], opaque=True)


_CHANNEL_AXIS = {"Conv": 0, "ConvTranspose": 1}
"""The axis of a weight that the output channels lie along."""


def _folded(
    operations: Sequence[Operation], wanted: Collection[str]
) -> tuple[list[Operation], dict[str, str]]:
    reads = Counter(name for operation in operations for name in operation.inputs)
    makers = {name: operation for operation in operations for name in operation.outputs if name}
    pairs: dict[int, Operation] = {}
    for norm in operations:
        before = makers.get(norm.inputs[0]) if norm.op == "BatchNormalization" else None
        if before is None or not _foldable(before) or norm.attributes.get("training_mode"):
            continue
        name = before.outputs[0]
        if reads[name] == 1 and name not in wanted:
            pairs[id(before)] = norm
    gone = {id(norm) for norm in pairs.values()}
    result: list[Operation] = []
    aliases: dict[str, str] = {}
    for operation in operations:
        partner = pairs.get(id(operation))
        if partner is not None:
            result.extend(_pair(operation, partner, aliases))
        elif id(operation) not in gone:
            result.append(operation)
    return result, aliases


def _foldable(operation: Operation) -> bool:
    if operation.op not in _CHANNEL_AXIS:
        return False
    return operation.op == "Conv" or operation.attributes.get("group", 1) == 1


def _pair(convolution: Operation, norm: Operation, aliases: dict[str, str]) -> list[Operation]:
    """The convolution with folded weight and bias, after the two operations that fold them."""
    weight = convolution.inputs[1]
    bias = convolution.inputs[2] if len(convolution.inputs) > 2 else ""
    _, scale, shift, mean, variance = norm.inputs
    folded_weight, folded_bias = f"{weight}\nof {norm.name}", f"{bias}\nbias of {norm.name}"
    aliases[folded_weight] = weight
    if bias:
        aliases[folded_bias] = bias
    epsilon = norm.attributes.get("epsilon", 1e-5)
    axis = _CHANNEL_AXIS[convolution.op]
    fold_weight = partial(_fold_weight, epsilon=epsilon, axis=axis)
    fold_bias = partial(_fold_bias, epsilon=epsilon)
    return [
        _step(norm, "FoldWeight", fold_weight, (weight, scale, variance), folded_weight),
        _step(norm, "FoldBias", fold_bias, (bias, scale, shift, mean, variance), folded_bias),
        replace(
            convolution,
            inputs=(convolution.inputs[0], folded_weight, folded_bias),
            outputs=norm.outputs[:1],
        ),
    ]


def _step(
    norm: Operation, op: str, run: partial[Tensor], inputs: tuple[str, ...], output: str
) -> Operation:
    return Operation(norm.name, op, run, inputs, (output,), Operator(run))


def _fold_weight(
    weight: Tensor, scale: Tensor, variance: Tensor, *, epsilon: float, axis: int
) -> Tensor:
    """W · scale / sqrt(variance + epsilon), along the output channels."""
    factor = scale * torch.rsqrt(variance + epsilon)
    shape = [1] * weight.dim()
    shape[axis] = -1
    return weight * factor.view(shape)


def _fold_bias(
    bias: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float,
) -> Tensor:
    """The folded bias: shift + (bias - mean) · scale / sqrt(variance + epsilon)."""
    factor = scale * torch.rsqrt(variance + epsilon)
    centred = -mean if bias is None else bias - mean
    return shift + centred * factor
