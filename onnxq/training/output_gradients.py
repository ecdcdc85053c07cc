"""How strongly the outputs of a model react to each of its weights, without labels.

    reaction(w) = sqrt(mean over samples of (∂ Σ v·y / ∂w)²),   v random, of length 1

A random direction v of the outputs y stands for all of them: the expectation of the square is the
mean of the squared entries of the Jacobian's column (Hutchinson's estimator), which is what the
Taylor criterion of pruning (Molchanov et al. 2019, arXiv:1906.10771) asks of a loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from onnxq.engine import Feed
from onnxq.errors import PreconditionError
from onnxq.graph import Model
from onnxq.training.importing import to_torch
from onnxq.training.operators import tensor_of


def output_gradients(
    model: Model, feeds: Sequence[Feed], seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """The reaction of the outputs to every weight.

    Args:
        model: The float model. It is not changed.
        feeds: Samples; one run forwards and one backwards for each.
        seed: Of the random directions.

    Returns:
        For each float initializer that the outputs depend on, an array of its shape, by name.

    Raises:
        PreconditionError: if an operator cannot be imported, or no output is a float tensor.
    """
    module = to_torch(model).eval()
    names = list(module.parameters_by_name)
    weights = [module.parameters_by_name[name].requires_grad_() for name in names]
    squares = [torch.zeros_like(weight, dtype=torch.float64) for weight in weights]
    generator = torch.Generator().manual_seed(seed)
    for feed in feeds:
        outputs = module({name: tensor_of(value) for name, value in feed.items()})
        total = _projected(list(outputs.values()), generator)
        found = torch.autograd.grad(total, weights, allow_unused=True)
        for square, gradient in zip(squares, found, strict=True):
            if gradient is not None:
                square += gradient.double().square()
    return {
        name: (square / max(len(feeds), 1)).sqrt().float().numpy()
        for name, square in zip(names, squares, strict=True)
        if bool(square.any())
    }


def _projected(outputs: Sequence[torch.Tensor], generator: torch.Generator) -> torch.Tensor:
    """The outputs, along one random direction each."""
    parts: list[torch.Tensor] = []
    for value in outputs:
        if not isinstance(value, torch.Tensor) or not value.requires_grad:
            continue
        direction = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        parts.append((value * (direction / direction.norm().clamp_min(1e-30))).sum())
    if not parts:
        raise PreconditionError(
            "has no output that its weights can be judged by",
            why="no float output depends on a float weight",
            remedy="choose another criterion than taylor",
        )
    return torch.stack(parts).sum()
