"""Inputs get static shapes, on request: what depends on them can then be computed beforehand.

The model accepts less than before, so this is not exact; on inputs of the given shapes it
computes the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

from onnxq.errors import UsageError
from onnxq.graph import Model, Tensor, Variable, derive_types
from onnxq.passes.events import Applied, Event

Declared = tuple[int | str | None, ...]


@dataclass(frozen=True)
class SetInputShapes:
    """Fix the shapes of inputs.

    Dimensions that bear the same name in other inputs get the same size. Declared shapes of
    inner tensors are dropped, as they may be those of other sizes; they are inferred anew.

    Attributes:
        shapes: Sizes of all axes of an input, by its name.

    Raises:
        UsageError: on `apply`, if an input is unknown, a shape does not fit the declared one,
            or a name would stand for two sizes.
    """

    shapes: Mapping[str, Sequence[int]]
    exact: ClassVar[bool] = False

    def apply(self, model: Model) -> Iterator[Event]:
        """Write the shapes into the inputs, and what follows from them into the outputs."""
        inputs = {t.name: t for t in model.inputs}
        for name, shape in self.shapes.items():
            _check(name, shape, inputs)
        sizes = _sizes(model, self.shapes)
        changed = [t for t in model.inputs if self._fix(t, sizes)]
        if not changed:
            return
        for tensor in model.variables.values():
            if not any(tensor is t for t in (*model.inputs, *model.outputs)):
                tensor.forget_shape()
        derived = derive_types(model)
        for output in model.outputs:
            _describe(output, derived.get(output.name, (None, None))[1], sizes)
        for tensor in changed:
            yield Applied(tensor.name, f"has the shape {list(tensor.shape or ())} now")

    def _fix(self, tensor: Variable, sizes: Mapping[str, int]) -> bool:
        """Whether an input's shape has changed."""
        before = tensor.shape
        if before is None:
            return False
        given = self.shapes.get(tensor.name)
        known = (sizes.get(d, d) if isinstance(d, str) else d for d in before)
        tensor.shape = tuple(known if given is None else given)
        return tensor.shape != before


def _check(name: str, shape: Sequence[int], inputs: Mapping[str, Variable]) -> None:
    if name not in inputs:
        close = get_close_matches(name, inputs, 1)
        raise UsageError(
            f"the model has no input '{name}'",
            why="its inputs are " + ", ".join(f"'{other}'" for other in inputs),
            remedy=f"did you mean '{close[0]}'?" if close else "name one of them",
        )
    declared = inputs[name].shape
    where, text = f"input '{name}'", f"it is declared {_text(declared)}"
    if declared is None:
        why = "it is no tensor, or of no known number of axes"
        raise UsageError("its shape cannot be set", where=where, why=why)
    if len(declared) != len(shape):
        raise UsageError(
            f"a shape of {len(shape)} axes was given, it has {len(declared)}",
            where=where,
            why=text,
            remedy="give one size per axis",
        )
    for axis, (size, fixed) in enumerate(zip(shape, declared, strict=True)):
        if size < 1:
            raise UsageError(f"size {size} of axis {axis} is below 1", where=where)
        if isinstance(fixed, int) and fixed >= 0 and fixed != size:
            raise UsageError(
                f"axis {axis} cannot be {size}, the model fixes it to {fixed}",
                where=where,
                why=text,
                remedy="only free axes can be set",
            )


def _text(shape: Declared | None) -> str:
    return "[" + ", ".join("?" if d is None else str(d) for d in shape or ()) + "]"


def _sizes(model: Model, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Sizes of named dimensions.

    A name that stands twice in one input says nothing (exporters write '?' for all).
    """
    sizes: dict[str, int] = {}
    for tensor in model.inputs:
        declared = tensor.shape or ()
        for size, name in zip(shapes.get(tensor.name, ()), declared, strict=False):
            if not isinstance(name, str) or declared.count(name) > 1:
                continue
            if sizes.setdefault(name, size) != size:
                raise UsageError(
                    f"dimension '{name}' would be {sizes[name]} and {size}",
                    where=f"input '{tensor.name}'",
                    why="the model gives the axes of two inputs this name",
                    remedy="give both the same size",
                )
    return sizes


def _describe(output: Tensor, derived: Declared | None, sizes: Mapping[str, int]) -> None:
    """Declare what is known of an output's shape now."""
    if not isinstance(output, Variable):
        return
    shape = output.shape if derived is None else derived
    if shape is None:
        return
    declared = output.shape or ()
    known = [sizes.get(d, d) if isinstance(d, str) else d for d in shape]
    for axis, dimension in enumerate(known):
        if not isinstance(dimension, int) and len(declared) == len(known):
            before = declared[axis]
            known[axis] = before if isinstance(before, str) and before not in sizes else None
    output.shape = tuple(known)
