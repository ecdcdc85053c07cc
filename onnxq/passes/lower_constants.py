"""Constant nodes become initializers, so that weights are found in one place.

The value keeps its exact type: value_float and value_floats are float32, value_int and
value_ints int64, as the operator's definition says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from onnxq.graph import Constant, Model, Node, is_output, remove_nodes, replace_uses
from onnxq.passes.events import Applied, Event, Refused

_VALUES: dict[str, Callable[[Any], Any]] = {
    "value": lambda v: v.stored,
    "sparse_value": lambda v: v.stored,
    "value_float": np.float32,
    "value_floats": lambda v: np.asarray(v, np.float32),
    "value_int": np.int64,
    "value_ints": lambda v: np.asarray(v, np.int64),
    "value_string": lambda v: np.asarray(v, object),
    "value_strings": lambda v: np.asarray(v, object),
}


@dataclass(frozen=True)
class LowerConstants:
    """Turn Constant nodes of the main graph into initializers."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Replace each node's output by a constant of the same name."""
        done: list[Node] = []
        for node in model.nodes:
            if node.op != "Constant" or not node.standard:
                continue
            output = node.outputs[0]
            if is_output(model, output):
                yield Refused(node.name, f"its output '{output.name}' is an output of the model")
                continue
            kind, value = next(iter(node.attrs.items()), ("", None))
            if kind not in _VALUES:
                yield Refused(node.name, f"its attribute '{kind}' is not known")
                continue
            stored = _VALUES[kind](value)
            replace_uses(output, Constant(output.name, _as_array(stored)))
            done.append(node)
            yield Applied(node.name, f"became the initializer '{output.name}'")
        remove_nodes(model, done)


def _as_array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, np.generic) else value
