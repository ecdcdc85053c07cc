"""The layers of a model under all names that users of other tools may know them by."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from onnxq.compat.torch_names import module_names
from onnxq.compat.torch_types import types_of, weight_of
from onnxq.errors import ConfigError
from onnxq.graph import Model, Node

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN")
_SHOWN = 12


@dataclass(frozen=True, eq=False)
class Layer:
    """A node of a model.

    Attributes:
        node: The node.
        modules: Names of the torch module it may come from.
        types: Its operator and classes of torch modules.
    """

    node: Node
    modules: tuple[str, ...]
    types: tuple[str, ...]

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def module(self) -> str:
        """The torch module, or the node's name where there is none."""
        return self.modules[0] if self.modules else self.node.name

    @cached_property
    def names(self) -> frozenset[str]:
        """Everything it may be called by."""
        written = (tensor.name for tensor in self.node.outputs)
        weight = weight_of(self.node)
        return frozenset(
            {self.node.name, *self.modules, *written, *((weight.name,) if weight else ())}
        )

    @cached_property
    def is_weighted(self) -> bool:
        """Whether it multiplies by a constant weight."""
        return self.node.op in _WEIGHTED and weight_of(self.node) is not None


def layers_of(model: Model) -> tuple[Layer, ...]:
    """All nodes of the main graph that compute, in topological order."""
    return tuple(
        Layer(node, module_names(node), types_of(node))
        for node in model.nodes
        if node.op != "Constant"
    )


def named(layers: Sequence[Layer], name: str, where: str) -> list[Layer]:
    """The layers of a name: a node, a tensor it writes, its weight, or a torch module.

    Raises:
        ConfigError: if there is none; it names the nearest.
    """
    found = [layer for layer in layers if name in layer.names]
    if found:
        return found
    known = [layer.module for layer in layers] + [layer.name for layer in layers]
    raise _nothing("layer", name, known, where)


def typed(layers: Sequence[Layer], kind: str, where: str) -> list[Layer]:
    """The layers of a type, as ONNX or torch spells it.

    Raises:
        ConfigError: if there is none; it names the nearest.
    """
    found = [layer for layer in layers if kind in layer.types]
    if found:
        return found
    raise _nothing("layer type", kind, [name for layer in layers for name in layer.types], where)


def nearest_name(name: str, known: Iterable[str]) -> str:
    """What may have been meant, as a remedy."""
    options = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, options, 1, 0.4)
    return f"did you mean '{near[0]}'?" if near else f"it has {', '.join(options[:_SHOWN])}"


def _nothing(what: str, name: str, known: Iterable[str], where: str) -> ConfigError:
    remedy = nearest_name(name, known)
    return ConfigError(
        f"'{name}' is no {what} of the model",
        where=where,
        why="a node, a tensor it writes, its weight or a torch module can be named"
        if what == "layer"
        else "types are spelled as in ONNX (Conv) or torch (Conv2d)",
        remedy=remedy,
    )
