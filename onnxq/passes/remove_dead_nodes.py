"""Nodes whose results nobody reads are removed: they would block fusions around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Model, remove_dead_nodes
from onnxq.passes.events import Applied, Event


@dataclass(frozen=True)
class RemoveDeadNodes:
    """Remove nodes of the main graph that no output of the model depends on."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Remove them all at once."""
        for node in remove_dead_nodes(model):
            yield Applied(node.name, "was removed: nobody reads its results")
