"""A teacher whose inputs and outputs are called as the student's are."""

from __future__ import annotations

from onnxq.compat.refusing import WrongValueError
from onnxq.graph import Model, Tensor, copy_model


def named_alike(teacher: Model, student: Model) -> Model:
    """The teacher with the student's names of inputs and outputs."""
    twin = copy_model(teacher)
    pairs = (
        ("inputs", twin.inputs, student.inputs),
        ("outputs", twin.outputs, student.outputs),
    )
    for what, own, wanted in pairs:
        if len(own) != len(wanted):
            raise WrongValueError(
                f"the teacher has {len(own)} {what}, the student {len(wanted)}",
                where="teacher_model",
                remedy="give models whose inputs and outputs correspond",
            )
        for tensor, name in zip(own, [t.name for t in wanted], strict=True):
            if tensor.name != name:
                _make_way(twin, name)
                tensor.name = name
    return twin


def _make_way(model: Model, name: str) -> None:
    """Give a tensor that has a wanted name another one."""
    taken: dict[str, Tensor] = dict(model.variables)
    taken.update((tensor.name, tensor) for tensor in model.constants)
    if name in taken:
        other = f"{name}_of_teacher"
        while other in taken:
            other += "_"
        taken[name].name = other
