"""Raise the operator set to what the plan's number formats need (ONNX's own converter)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Model, convert_opset
from onnxq.passes.events import Applied, Event


@dataclass(frozen=True)
class UpgradeOpset:
    """Convert the model to at least `version` of ONNX's operator set."""

    version: int
    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Convert if the model's operator set is older."""
        before = model.opset
        if before >= self.version:
            return
        convert_opset(model, self.version)
        yield Applied("", f"converted from operator set {before} to {self.version}")
