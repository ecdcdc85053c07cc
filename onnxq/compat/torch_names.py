"""Names of torch modules, as exporters leave them in the nodes and constants of a graph."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from onnxq.graph import Constant, Node, Tensor, Variable

_SCOPES = "pkg.torch.onnx.name_scopes"
"""Metadata in which torch's newer exporter lists the modules around a node, outermost first."""

_BEHIND = ("Identity", "Transpose", "Cast", "Reshape", "DequantizeLinear", "QuantizeLinear")
"""What may stand between a constant and its reader."""


def module_names(node: Node) -> tuple[str, ...]:
    """Names of the torch module that a node may come from, the most certain first.

    1. The path in the node's name: `/blocks/blocks.0/conv1/Conv` is of `blocks.0.conv1`.
    2. The path that torch's newer exporter writes into the metadata.
    3. Its constants: `blocks.0.conv1.weight` belongs to `blocks.0.conv1`; of a MatMul also the
       bias that is added behind.
    """
    found = [_from_path(node.name), _from_metadata(node), *_from_constants(node)]
    return tuple(dict.fromkeys(name for name in found if name))


def constant_behind(tensor: Tensor) -> Constant | None:
    """The constant that a tensor is, or is made of by moving and casting alone."""
    while isinstance(tensor, Variable):
        if len(tensor.inputs) != 1 or tensor.inputs[0].op not in _BEHIND:
            return None
        tensor = tensor.inputs[0].inputs[0]
    return tensor if isinstance(tensor, Constant) else None


def _from_path(name: str) -> str:
    """A path repeats the name of a list of modules: `blocks/blocks.0`."""
    if not name.startswith("/"):
        return ""
    parts: list[str] = []
    for part in name.strip("/").split("/")[:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts[-1] = part
        else:
            parts.append(part)
    return ".".join(parts)


def _from_metadata(node: Node) -> str:
    if node.source is None:
        return ""
    text = next((p.value for p in node.source.metadata_props if p.key == _SCOPES), "[]")
    try:
        scopes = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return ""
    # The last is the operation itself.
    inner = [s for s in scopes[:-1] if isinstance(s, str)] if isinstance(scopes, list) else []
    return inner[-1] if inner else ""


def _from_constants(node: Node) -> Iterator[str]:
    read = list(node.inputs)
    if node.op == "MatMul":
        read += [t for a in node.outputs[0].outputs if a.op == "Add" for t in a.inputs]
    for tensor in read:
        constant = constant_behind(tensor)
        if constant is not None and "::" not in constant.name:
            yield constant.name.rpartition(".")[0]
