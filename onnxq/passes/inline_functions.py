"""Model-local functions become the nodes they stand for (ONNX's own inliner)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnx import inliner

from onnxq.graph import Model
from onnxq.passes.events import Applied, Event


@dataclass(frozen=True)
class InlineFunctions:
    """Expand every call of a model-local function."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Inline all functions, if there are any."""
        names = [f"{f.domain}.{f.name}" for f in model.header.functions]
        if not names:
            return
        model.reopen(inliner.inline_local_functions(model.to_proto()))
        for name in names:
            yield Applied(name, "was inlined: its name and documentation are gone from the result")
