"""Clauses with which several rules refuse."""

from __future__ import annotations

from onnxq.graph import Constant, Tensor


def also_read(tensor: Tensor) -> str:
    """Somebody else needs a tensor between two nodes."""
    return f"'{tensor.name}' is also read elsewhere"


def varies(tensor: Tensor) -> str:
    """A tensor is no constant, or one that is listed among the model's inputs."""
    return f"'{tensor.name}' is computed or may be overridden at run time"


def rank_unknown(tensor: Tensor) -> str:
    """It is not known how many axes a tensor has."""
    return f"the number of axes of '{tensor.name}' is not known"


def is_default(tensor: Tensor | None) -> bool:
    """Whether a tensor is a constant that whoever runs the model may override."""
    return isinstance(tensor, Constant) and tensor.overridable
