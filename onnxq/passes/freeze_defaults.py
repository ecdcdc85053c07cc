"""Weights that an exporter listed as inputs out of habit become constants.

Before IR version 4 every initializer had to be listed as a graph input, and some exporters
still do so. Listed, a weight may be overridden by whoever runs the model, so nothing could be
folded or quantized. Where all initializers are listed nobody meant them as inputs; where only
some are, the listing is deliberate and stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Model
from onnxq.passes.events import Applied, Event, Refused


@dataclass(frozen=True)
class FreezeDefaults:
    """Take initializers off the list of inputs if all of them are on it."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Freeze all listed initializers, or none."""
        stored = list(model.graph.initializers.values())
        listed = [c for c in stored if c.overridable]
        if not listed:
            return
        if len(listed) < len(stored):
            for tensor in listed:
                yield Refused(tensor.name, "is an input with a default; callers may override it")
            return
        for tensor in listed:
            tensor.overridable = tensor.listed = False
        yield Applied("", f"took all {len(listed)} weights off the list of inputs")
