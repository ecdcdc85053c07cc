"""BatchNormalization whose statistics move: until when, and how they are found again at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from onnxq.training.batch_norm import BatchNormMode
from onnxq.training.module import TorchModel
from onnxq.training.normed_layers import NormedLayer
from onnxq.training.student import QuietHook, Tensors

_NORM = "BatchNormalization"


class FreezeBatchNorms(QuietHook):
    """Lets the statistics stand still after a share of the steps."""

    def __init__(self, network: TorchModel, share: float) -> None:
        """Rule over all of a network."""
        self._network, self._share = network, share

    def before_step(self, step: int, total: int) -> None:
        """Set what holds in this step."""
        moving = step < self._share * total
        mode = BatchNormMode.TRAINED if moving else BatchNormMode.FROZEN
        if self._network.batch_norm is not mode:
            self._network.batch_norm = mode


class FreezeLayers(QuietHook):
    """Lets the statistics of layers with normalisations stand still after a share of the steps."""

    def __init__(self, layers: Sequence[NormedLayer], share: float) -> None:
        """Rule over some layers."""
        self._layers, self._share = layers, share

    def before_step(self, step: int, total: int) -> None:
        """Set what holds in this step."""
        for layer in self._layers:
            layer.still = step >= self._share * total


def reestimate_batch_norms(network: TorchModel, feeds: Iterable[Tensors]) -> int:
    """Find the statistics of all BatchNormalization anew: their mean over some batches.

    In training, new = m·old + (1 - m)·batch (ONNX operator specification); with old = 0 that tells
    the batch's own statistics. A norm whose m is 1 keeps those it has.

    Args:
        network: The network; its parameters stay, and it ends in evaluation.
        feeds: Batches of inputs.

    Returns:
        How many tensors of statistics were found anew.
    """
    shares = _shares_of_batch(network)
    own = network.statistics.by_name()
    sums: dict[str, Tensor] = {name: torch.zeros_like(own[name]) for name in shares}
    batches, mode = 0, network.batch_norm
    network.train()
    network.batch_norm = BatchNormMode.TRAINED
    with torch.no_grad():
        for feed in feeds:
            for name in shares:
                own[name].zero_()
            network(feed)
            for name, share in shares.items():
                sums[name] += own[name] / share
            batches += 1
        for name in shares:
            own[name].copy_(sums[name] / max(batches, 1))
    network.batch_norm = mode
    network.eval()
    return len(shares)


def _shares_of_batch(network: TorchModel) -> dict[str, float]:
    """1 - m by the name of every tensor of statistics."""
    own = network.statistics.by_name()
    return {
        name: share
        for operation in network.blueprint.operations
        if operation.op == _NORM and (share := 1 - operation.attributes.get("momentum", 0.9)) > 0
        for name in operation.inputs[3:5]
        if name in own
    }
