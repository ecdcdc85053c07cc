"""Give biases other values, on a float model whose nodes keep their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Model, constant, read, set_input
from onnxq.passes.events import Applied, Event
from onnxq.passes.weight_codes import stored_constant
from onnxq.plan import Use


@dataclass(frozen=True)
class SetBiases:
    """Replace constants by others of the same shape; whoever else reads the old ones keeps them.

    Attributes:
        values: The new value of each use of a constant.
    """

    values: Mapping[Use, NDArray[Any]]
    exact: ClassVar[bool] = False

    def apply(self, model: Model) -> Iterator[Event]:
        """Edit the model."""
        nodes = {node.name: node for node in model.nodes}
        for use, value in self.values.items():
            old = stored_constant(nodes, use)
            before = read(old)
            new = np.asarray(value, before.dtype).reshape(before.shape)
            name = model.new_name(f"{old.name}_corrected")
            set_input(nodes[use.node], use.index, constant(name, new))
            largest = float(np.abs(new - before).max(initial=0.0))
            yield Applied(use.node, f"changed its bias '{old.name}' by up to {largest:.3g}")
