"""Raise a model's operator set, keeping what onnx's own converter drops."""

from __future__ import annotations

import onnx
from onnx import helper, version_converter

from onnxq.errors import PreconditionError
from onnxq.graph.copying import share_values, unique_constants
from onnxq.graph.elements import Constant
from onnxq.graph.embedding import embedded
from onnxq.graph.model import Model
from onnxq.graph.types import INFERENCE_ERRORS, without_weights

_CONVERSION_ERRORS: tuple[type[Exception], ...] = (
    version_converter.ConvertError,
    *INFERENCE_ERRORS,
)


def convert_opset(model: Model, version: int) -> None:
    """Convert to `version` of the default operator set, in place.

    onnx's converter drops node metadata and local functions and does not adapt
    GroupNormalization 18 to 21; the first is restored, the others are refused. Weights are
    not shown to the converter, so that size does not matter.

    Raises:
        PreconditionError: if the converter cannot do it; the model is unchanged.
    """
    _refuse_unsafe(model, version)
    hidden = unique_constants(model)
    proto, made_up = _with_all_names(model, hidden)
    converted = _converted(proto, model.opset, version)
    legacy = converted.ir_version < 4
    _restore_documentation(proto, converted)
    converted.ir_version = max(
        converted.ir_version,
        helper.find_min_ir_version_for(converted.opset_import, ignore_unknown=True),
    )
    model.reopen(converted)
    share_values(model, hidden)
    if legacy:
        # From IR 4 on the listing would make every weight a default to be overridden.
        for tensor in model.constants:
            tensor.listed = tensor.overridable = False
    for node in model.all_nodes:
        if node.name in made_up and node.source is not None:
            node.given_name = node.name
            node.source.ClearField("name")
            if made_up[node.name]:
                node.source.name = made_up[node.name]


def _with_all_names(
    model: Model, hidden: dict[str, Constant]
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """The proto with names made up on loading, so that reports before and after agree.

    Returns:
        The proto, and by made-up name the one in the file, which may be empty.
    """
    given = {id(node): node.given_name for node in model.all_nodes}
    made_up = {
        node.given_name: "" if node.source is None else node.source.name
        for node in model.all_nodes
        if node.given_name is not None
    }
    model.keep_node_names()
    try:
        proto = model.to_proto(
            lambda c: without_weights(c) if hidden.get(c.name) is c else embedded(c)
        )
    finally:
        for node in model.all_nodes:
            node.given_name = given[id(node)]
    return proto, made_up


def _converted(proto: onnx.ModelProto, before: int, version: int) -> onnx.ModelProto:
    try:
        return version_converter.convert_version(proto, version)
    except _CONVERSION_ERRORS as error:
        reason = str(error).strip() or type(error).__name__
        raise PreconditionError(
            f"cannot be converted from operator set {before} to {version}",
            where=proto.graph.name,
            why=reason.splitlines()[-1][:200],
            remedy=f"export the model with opset {version} or later",
        ) from error


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


def _restore_documentation(before: onnx.ModelProto, after: onnx.ModelProto) -> None:
    """Give back metadata, documentation and annotations; nodes are found by their first output."""
    _complete(after, before)
    _complete(after.graph, before.graph)
    if not after.graph.quantization_annotation:
        after.graph.quantization_annotation.extend(before.graph.quantization_annotation)
    known = {node.output[0]: node for node in before.graph.node if node.output}
    for node in after.graph.node:
        source = known.get(node.output[0]) if node.output else None
        if source is not None:
            _complete(node, source)
    declared = {value.name: value for value in (*before.graph.input, *before.graph.output)}
    for value in (*after.graph.input, *after.graph.output):
        if value.name in declared:
            _complete(value, declared[value.name])
            # The converter writes in the shapes that it inferred; callers know the declared ones.
            value.type.CopyFrom(declared[value.name].type)


_Documented = onnx.ModelProto | onnx.GraphProto | onnx.NodeProto | onnx.ValueInfoProto


def _complete(target: _Documented, source: _Documented) -> None:
    if not target.metadata_props:
        target.metadata_props.extend(source.metadata_props)
    if source.doc_string and not target.doc_string:
        target.doc_string = source.doc_string
