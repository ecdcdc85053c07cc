"""Which layers of a model promise a pattern of sparsity: kept in the file's own metadata.

The entry `onnxq.sparsity` of the model's `metadata_props` is a JSON object of patterns by node
name, such as {"conv1": "2:4"}. The mask itself is not stored: it is where the weight is zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from onnxq.errors import ModelError, UsageError
from onnxq.graph.model import Model
from onnxq.quant import Pattern

KEY = "onnxq.sparsity"


def sparse_layers(model: Model) -> dict[str, Pattern]:
    """The pattern that each node's weight promises, by node name.

    Raises:
        ModelError: if the metadata is not what this wrote.
    """
    text = next((p.value for p in model.header.metadata_props if p.key == KEY), "{}")
    try:
        return {str(n): Pattern.parse(str(p)) for n, p in json.loads(text).items()}
    except (ValueError, AttributeError, UsageError) as error:
        raise ModelError(
            f"the metadata '{KEY}' cannot be read",
            why=str(error),
            remedy="remove the entry, or sparsify the model again",
        ) from error


def promise_sparsity(model: Model, layers: Mapping[str, Pattern]) -> None:
    """Write which nodes promise which pattern; replaces what was promised before."""
    entries = model.header.metadata_props
    others = [entry for entry in entries if entry.key != KEY]
    del entries[:]
    entries.extend(others)
    if layers:
        text = json.dumps({name: str(pattern) for name, pattern in layers.items()})
        entries.add(key=KEY, value=text)
