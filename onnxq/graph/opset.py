"""Raise a model's operator set, keeping what onnx's own converter drops."""

from __future__ import annotations

import onnx
from onnx import helper, version_converter

from onnxq.errors import PreconditionError
from onnxq.graph.exporting import every_node
from onnxq.graph.model import Model
from onnxq.graph.types import without_weights


def convert_opset(model: Model, version: int) -> None:
    """Convert to `version` of the default operator set, in place.

    onnx's converter drops node metadata and local functions and does not adapt
    GroupNormalization 18 to 21; the first is restored, the others are refused. Weights are
    not shown to the converter, so that size does not matter.

    Raises:
        PreconditionError: if the converter cannot do it; the model is unchanged.
    """
    _refuse_unsafe(model, version)
    weights = {c.name: c for c in model.constants}
    proto = model.to_proto(without_weights)
    try:
        converted = version_converter.convert_version(proto, version)
    except (RuntimeError, ValueError, TypeError) as error:
        raise PreconditionError(
            f"cannot be converted from operator set {model.opset} to {version}",
            where=proto.graph.name,
            why=str(error).strip().splitlines()[-1][:200],
            remedy=f"export the model with opset {version} or later",
        ) from error
    _restore_documentation(proto.graph, converted.graph)
    converted.ir_version = max(
        converted.ir_version, helper.find_min_ir_version_for(converted.opset_import, True)
    )
    given = {n.outputs[0].name: n.given_name for n in model.all_nodes if n.outputs}
    model.reopen(converted)
    for graph_constant in model.constants:
        known = weights.get(graph_constant.name)
        if known is not None:
            graph_constant._values = known.stored
            graph_constant.listed = known.listed
            graph_constant.overridable = known.overridable
    for node in every_node(model.graph):
        if node.outputs and given.get(node.outputs[0].name) == node.name:
            node.given_name = node.name


def _refuse_unsafe(model: Model, version: int) -> None:
    if model.header.functions:
        raise PreconditionError(
            "local functions would be lost in the conversion of the operator set",
            where=", ".join(f.name for f in model.header.functions[:3]),
            remedy="inline them first (the pass InlineFunctions)",
        )
    if version < model.opset:
        raise PreconditionError(f"operator set {model.opset} cannot be lowered to {version}")
    if model.opset < 21 <= version:
        for node in model.all_nodes:
            if node.op == "GroupNormalization" and node.standard:
                raise PreconditionError(
                    "onnx converts GroupNormalization 18 to 21 wrongly",
                    where=f"node '{node.name}'",
                    remedy="export with opset 21, or choose a plan that needs no opset 21",
                )


def _restore_documentation(before: onnx.GraphProto, after: onnx.GraphProto) -> None:
    """Give nodes back their metadata and documentation, found by their first output."""
    known = {node.output[0]: node for node in before.node if node.output}
    for node in after.node:
        source = known.get(node.output[0]) if node.output else None
        if source is None:
            continue
        if not node.metadata_props:
            node.metadata_props.extend(source.metadata_props)
        if not node.doc_string:
            node.doc_string = source.doc_string
