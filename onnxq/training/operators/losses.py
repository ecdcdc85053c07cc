"""Losses that training graphs compute within the model."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from onnxq.training.operators.operator import Operator, Table, since_first

_NO_CLASS = -100


def negative_log_likelihood(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    """NegativeLogLikelihoodLoss-12: x [N, C, D1…] of log-probabilities."""
    ignored = _NO_CLASS if ignore_index is None else ignore_index
    return F.nll_loss(x, target.to(torch.int64), weight, ignore_index=ignored, reduction=reduction)


def softmax_cross_entropy(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
    outputs: int = 1,
) -> Any:
    """SoftmaxCrossEntropyLoss-12: x [N, C, D1…] of logits; the second output is log-softmax."""
    log = torch.log_softmax(x, 1)
    loss = negative_log_likelihood(
        log, target, weight, ignore_index=ignore_index, reduction=reduction
    )
    return (loss, log) if outputs > 1 else loss


TABLE: Table = {
    **since_first(NegativeLogLikelihoodLoss=negative_log_likelihood),
    "SoftmaxCrossEntropyLoss": {12: Operator(softmax_cross_entropy, counts_outputs=True)},
}
