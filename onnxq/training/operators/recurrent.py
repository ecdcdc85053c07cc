"""LSTM, GRU and RNN: torch's own kernels where they mean the same, else step by step.

ONNX stacks gates as i, o, f, c (LSTM) and z, r, h (GRU); torch as i, f, g, o and r, z, n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from onnxq.training.operators.compiling import in_eager_mode
from onnxq.training.operators.operator import Operator, Table
from onnxq.training.operators.recurrent_steps import Cell, gru_cell, lstm_cell, rnn_cell, walk

# torch.compile fails on the backward of these; torch leaves its own layers of them alone too.
_torch_lstm = in_eager_mode(torch.lstm)
_torch_gru = in_eager_mode(torch.gru)

_LSTM_ORDER = (0, 2, 3, 1)
_GRU_ORDER = (1, 0, 2)
_DEFAULTS = {
    "LSTM": ("sigmoid", "tanh", "tanh"),
    "GRU": ("sigmoid", "tanh"),
    "RNN": ("tanh",),
}


def _reordered(stacked: Tensor, order: Sequence[int]) -> Tensor:
    """The gates along axis 0 in torch's order."""
    parts = stacked.chunk(len(order), 0)
    return torch.cat([parts[index] for index in order])


def _packed(
    w: Tensor, r: Tensor, b: Tensor | None, order: Sequence[int], directions: int
) -> list[Tensor]:
    """The parameters as torch's kernels take them, all directions in a row."""
    packed: list[Tensor] = []
    for d in range(directions):
        packed += [_reordered(w[d], order), _reordered(r[d], order)]
        if b is not None:
            ahead, back = b[d].chunk(2)
            packed += [_reordered(ahead, order), _reordered(back, order)]
    return packed


def _uniform(lengths: Any, steps: int) -> bool:
    return lengths is None or all(n == steps for n in lengths)


def _is_default(kind: str, activations: Sequence[str] | None, directions: int) -> bool:
    if not activations:
        return True
    return tuple(a.lower() for a in activations) == _DEFAULTS[kind] * directions


def _states(x: Tensor, given: Tensor | None, directions: int, size: int) -> Tensor:
    if given is not None:
        return given
    return x.new_zeros(directions, x.shape[1], size)


def _split_directions(y: Tensor, directions: int) -> Tensor:
    """[T, B, D·H] of torch as ONNX's [T, D, B, H]."""
    steps, batch, _ = y.shape
    return y.view(steps, batch, directions, -1).permute(0, 2, 1, 3)


def lstm(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Any = None,
    initial_h: Tensor | None = None,
    initial_c: Tensor | None = None,
    p: Tensor | None = None,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int = 0,
    input_forget: int = 0,
    layout: int = 0,
) -> Any:
    """LSTM-7 to 22: x [T, B, I] → Y [T, D, B, H], Y_h and Y_c [D, B, H] (layout 0)."""
    x, initial_h, initial_c = _time_first(layout, x, initial_h, initial_c)
    directions, size = w.shape[0], r.shape[-1]
    h = _states(x, initial_h, directions, size)
    c = _states(x, initial_c, directions, size)
    plain = p is None and clip is None and not input_forget and _uniform(lengths, x.shape[0])
    if plain and _is_default("LSTM", activations, directions):
        weights = _packed(w, r, b, _LSTM_ORDER, directions)
        backwards = direction == "reverse"
        y, h, c = _torch_lstm(
            *(x.flip(0) if backwards else x, [h, c], weights, b is not None, 1),
            *(0.0, False, directions == 2, False),
        )
        found = _split_directions(y.flip(0) if backwards else y, directions)
    else:
        cell = Cell(lstm_cell, activations or ("Sigmoid", "Tanh", "Tanh") * directions, 3)
        cell = cell.with_parameters(
            activation_alpha, activation_beta, clip, variant=bool(input_forget)
        )
        found, h, c = walk(cell, x, w, r, b, p, lengths, [h, c], direction)
    return _as_laid_out(layout, found, h, c)


def gru(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Any = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int = 0,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> Any:
    """GRU-7 to 22; torch's kernel is that of linear_before_reset."""
    x, initial_h = _time_first(layout, x, initial_h)
    directions, size = w.shape[0], r.shape[-1]
    h = _states(x, initial_h, directions, size)
    plain = linear_before_reset and clip is None and _uniform(lengths, x.shape[0])
    if plain and _is_default("GRU", activations, directions):
        weights = _packed(w, r, b, _GRU_ORDER, directions)
        backwards = direction == "reverse"
        y, h = _torch_gru(
            *(x.flip(0) if backwards else x, h, weights, b is not None, 1),
            *(0.0, False, directions == 2, False),
        )
        found = _split_directions(y.flip(0) if backwards else y, directions)
    else:
        cell = Cell(gru_cell, activations or ("Sigmoid", "Tanh") * directions, 2)
        variant = bool(linear_before_reset)
        cell = cell.with_parameters(activation_alpha, activation_beta, clip, variant=variant)
        found, h = walk(cell, x, w, r, b, None, lengths, [h], direction)
    return _as_laid_out(layout, found, h)


def rnn(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Any = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int = 0,
    layout: int = 0,
) -> Any:
    """RNN-7 to 22."""
    x, initial_h = _time_first(layout, x, initial_h)
    directions = w.shape[0]
    h = _states(x, initial_h, directions, r.shape[-1])
    cell = Cell(rnn_cell, activations or ("Tanh",) * directions, 1)
    cell = cell.with_parameters(activation_alpha, activation_beta, clip)
    found, h = walk(cell, x, w, r, b, None, lengths, [h], direction)
    return _as_laid_out(layout, found, h)


def _time_first(layout: int, *values: Tensor | None) -> Any:
    """The inputs as layout 0 has them: time, or the direction, before the batch."""
    return tuple(v if v is None or not layout else v.transpose(0, 1) for v in values)


def _as_laid_out(layout: int, y: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
    """The outputs as the layout asks for: Y [B, T, D, H] and states [B, D, H] in layout 1."""
    if not layout:
        return (y, *states)
    return (y.permute(2, 0, 1, 3), *(s.transpose(0, 1) for s in states))


TABLE: Table = {
    "LSTM": {7: Operator(lstm, host=(4,))},
    "GRU": {7: Operator(gru, host=(4,))},
    "RNN": {7: Operator(rnn, host=(4,))},
}
