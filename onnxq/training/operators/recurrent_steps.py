"""Recurrent cells step by step, for what torch's kernels leave out.

Those are: other activations, clipping, peepholes, coupled gates, GRU without
linear_before_reset, and sequences of different lengths. Formulas: ONNX LSTM-7, GRU-7, RNN-7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Activation = Callable[[Tensor], Tensor]

_PLAIN: dict[str, Activation] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softsign": F.softsign,
    "softplus": F.softplus,
}
"""Activations without parameters, by name."""

_WITH_ALPHA: dict[str, tuple[Callable[[Tensor, float], Tensor], float]] = {
    "leakyrelu": (F.leaky_relu, 0.01),
    "thresholdedrelu": (lambda x, a: F.threshold(x, a, 0.0), 1.0),
    "elu": (F.elu, 1.0),
}
"""Those with an alpha, and its default."""

_WITH_BOTH: dict[str, tuple[Callable[[Tensor, float, float], Tensor], float, float]] = {
    "affine": (lambda x, a, b: a * x + b, 1.0, 0.0),
    "scaledtanh": (lambda x, a, b: a * torch.tanh(b * x), 1.0, 1.0),
    "hardsigmoid": (lambda x, a, b: torch.clamp(a * x + b, 0, 1), 0.2, 0.5),
}
"""Those with an alpha and a beta, and their defaults."""


@dataclass(frozen=True)
class Cell:
    """What happens in one step.

    Attributes:
        step: The cell.
        names: Activations of all directions.
        count: Activations of one direction.
        functions: The activations, once their parameters are known.
        clip: Bound of what goes into an activation.
        variant: input_forget of an LSTM, linear_before_reset of a GRU.
    """

    step: Callable[..., list[Tensor]]
    names: Sequence[str]
    count: int
    functions: tuple[Activation, ...] = ()
    clip: float | None = None
    variant: bool = False

    def with_parameters(
        self,
        alpha: Sequence[float] | None,
        beta: Sequence[float] | None,
        clip: float | None,
        *,
        variant: bool = False,
    ) -> Cell:
        """The cell with its activations bound: each takes the next parameters of the lists."""
        alphas, betas = iter(alpha or ()), iter(beta or ())
        bound = [
            _clipped(_activation(name.lower(), alphas, betas), None if self._is_last(k) else clip)
            for k, name in enumerate(self.names)
        ]
        return replace(self, functions=tuple(bound), clip=clip, variant=variant)

    def _is_last(self, index: int) -> bool:
        """Whether this is the activation of an LSTM's memory, which the engine does not clip."""
        return self.count == 3 and index % self.count == 2

    def of(self, direction: int) -> tuple[Activation, ...]:
        """The activations of one direction."""
        return self.functions[direction * self.count : (direction + 1) * self.count]


def _activation(name: str, alphas: Iterator[float], betas: Iterator[float]) -> Activation:
    if name in _WITH_ALPHA:
        with_one, a = _WITH_ALPHA[name]
        first = next(alphas, a)
        return lambda x: with_one(x, first)
    if name in _WITH_BOTH:
        with_two, a, b = _WITH_BOTH[name]
        first, second = next(alphas, a), next(betas, b)
        return lambda x: with_two(x, first, second)
    return _PLAIN[name]


def _clipped(run: Activation, clip: float | None) -> Activation:
    if clip is None:
        return run
    return lambda x: run(torch.clamp(x, -clip, clip))


def lstm_cell(
    cell: Cell,
    functions: Sequence[Activation],
    x: Tensor,
    states: Sequence[Tensor],
    r: Tensor,
    b: Tensor,
    p: Tensor | None,
) -> list[Tensor]:
    """One step; x is already multiplied by W and holds that half of the bias."""
    f, g, h = functions
    hidden, memory = states
    i, o, forget, c = (x + hidden @ r.t() + b).chunk(4, -1)
    pi, po, pf = (0, 0, 0) if p is None else p.chunk(3)
    i = f(i + pi * memory)
    forget = 1 - i if cell.variant else f(forget + pf * memory)
    memory = forget * memory + i * g(c)
    return [f(o + po * memory) * h(memory), memory]


def gru_cell(
    cell: Cell,
    functions: Sequence[Activation],
    x: Tensor,
    states: Sequence[Tensor],
    r: Tensor,
    b: Tensor,
    p: Tensor | None,
) -> list[Tensor]:
    """One step; x is already multiplied by W and holds that half of the bias."""
    f, g = functions
    (hidden,) = states
    xz, xr, xh = x.chunk(3, -1)
    rz, rr, rh = r.chunk(3)
    bz, br, bh = b.chunk(3)
    z = f(xz + hidden @ rz.t() + bz)
    reset = f(xr + hidden @ rr.t() + br)
    if cell.variant:
        candidate = g(xh + reset * (hidden @ rh.t() + bh))
    else:
        candidate = g(xh + (reset * hidden) @ rh.t() + bh)
    return [(1 - z) * candidate + z * hidden]


def rnn_cell(
    cell: Cell,
    functions: Sequence[Activation],
    x: Tensor,
    states: Sequence[Tensor],
    r: Tensor,
    b: Tensor,
    p: Tensor | None,
) -> list[Tensor]:
    """One step; x is already multiplied by W and holds that half of the bias."""
    return [functions[0](x + states[0] @ r.t() + b)]


def walk(
    cell: Cell,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    p: Tensor | None,
    lengths: Any,
    states: Sequence[Tensor],
    direction: str,
) -> tuple[Tensor, ...]:
    """Run a cell over all steps: Y [T, D, B, H], then the last states [D, B, H] each."""
    outputs, lasts = [], []
    for d in range(w.shape[0]):
        backwards = direction == "reverse" or d == 1
        zero = x.new_zeros(r.shape[1])
        ahead, back = (zero, zero) if b is None else b[d].chunk(2)
        begin = [s[d] for s in states]
        given = x @ w[d].t() + ahead
        peep = None if p is None else p[d]
        y, last = _one_way(
            *(cell, cell.of(d), given, r[d], back, peep, lengths, begin), backwards=backwards
        )
        outputs.append(y)
        lasts.append(last)
    ends = [torch.stack(part) for part in zip(*lasts, strict=True)]
    return (torch.stack(outputs, 1), *ends)


def _one_way(
    cell: Cell,
    functions: Sequence[Activation],
    x: Tensor,
    r: Tensor,
    b: Tensor,
    p: Tensor | None,
    lengths: Any,
    states: list[Tensor],
    *,
    backwards: bool,
) -> tuple[Tensor, list[Tensor]]:
    steps = x.shape[0]
    limit = None if lengths is None else torch.tensor(lengths, device=x.device).unsqueeze(-1)
    found: list[Tensor] = [x] * steps
    for t in reversed(range(steps)) if backwards else range(steps):
        after = cell.step(cell, functions, x[t], states, r, b, p)
        if limit is None:
            states = after
            found[t] = states[0]
        else:
            live = limit > t
            states = [torch.where(live, new, old) for new, old in zip(after, states, strict=True)]
            found[t] = torch.where(live, states[0], torch.zeros_like(states[0]))
    return torch.stack(found), states
