"""Model-local functions become the nodes they stand for (ONNX's own inliner)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnx import inliner

from onnxq.graph import Model
from onnxq.passes.events import Applied, Event, Refused


@dataclass(frozen=True)
class InlineFunctions:
    """Expand every call of a model-local function."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Inline all functions, if there are any."""
        before = _functions(model)
        if not before:
            return
        model.reopen(inliner.inline_local_functions(model.to_proto()))
        left = _functions(model)
        for name in before:
            if name in left:
                yield Refused(name, "it needs other operator set versions than the model")
            else:
                yield Applied(name, "was inlined: its name and documentation are gone")


def _functions(model: Model) -> list[str]:
    return [f"{f.domain}.{f.name}" for f in model.header.functions]
