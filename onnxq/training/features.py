"""Tensors inside two models that a loss can compare."""

from __future__ import annotations

from collections.abc import Sequence

from onnxq.engine import Feed
from onnxq.errors import ConfigError
from onnxq.training.agreement import run_arrays
from onnxq.training.module import TorchModel


def comparable(
    student: TorchModel, original: TorchModel, feed: Feed, names: Sequence[str]
) -> list[str]:
    """The tensors that both models compute, in one shape: pruning changes some."""
    if student.blueprint is original.blueprint:
        return list(names)
    known = [n for n in names if n in student.tensor_names and n in original.tensor_names]
    ours, theirs = (run_arrays(model, feed, known) for model in (student, original))
    for model in (student, original):
        model.forget_programs()
    return [n for n in known if ours[n].shape == theirs[n].shape]


def require_comparable(
    student: TorchModel, original: TorchModel, feed: Feed, names: Sequence[str]
) -> None:
    """Refuse features that cannot be compared.

    Raises:
        ConfigError: One of the models has no such tensor, or one of another shape.
    """
    found = comparable(student, original, feed, names)
    missing = [name for name in names if name not in found]
    if missing:
        raise ConfigError(
            f"the tensor '{missing[0]}' cannot be matched",
            where="finetune.losses",
            why="the model and its teacher do not both compute it in the same shape",
            remedy="name other tensors, or none: the ends of blocks that agree are then matched",
        )
