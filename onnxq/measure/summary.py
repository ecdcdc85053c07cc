"""What a model is made of, without running it: the facts that `onnxq inspect` shows."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import NodeProto, ValueInfoProto

from onnxq.measure.cost import Cost, count_macs
from onnxq.measure.parameters import Parameters, count_parameters
from onnxq.measure.protos import (
    ModelSource,
    dtype_name,
    graph_initializers,
    graphs,
    is_standard,
    load_proto,
    nodes,
)
from onnxq.measure.size import bytes_by_dtype

_CONVERSIONS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")


@dataclass(frozen=True)
class Port:
    """An input or output of the model.

    Attributes:
        name: Its name.
        dtype: Element type, or the kind of value (`sequence`, `map`, `optional`).
        shape: Dimensions: a number, a symbol, or None where unknown; None if the rank is
            unknown.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True)
class Summary:
    """The facts about a model.

    Attributes:
        producer: Name and version of the tool that wrote the file.
        ir_version: Version of the file format.
        opsets: Operator set version by domain; "" is ONNX itself.
        inputs: What must be fed; initializers that may be overridden are left out.
        outputs: What the model returns.
        operators: Number of nodes by operator, most frequent first, subgraphs included;
            operators of other domains are written `domain::operator`.
        subgraphs: Number of graphs nested in If, Loop and Scan nodes.
        functions: Names of the local functions.
        custom_domains: Domains of nodes that neither ONNX nor the model's own functions
            define.
        conversions: Number of QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear.
        parameters: Constants and zeros.
        bytes_by_dtype: Bytes of the constants by element type.
        cost: Multiply-accumulates.
        unnamed_nodes: Number of nodes without a name.
    """

    producer: str
    ir_version: int
    opsets: Mapping[str, int]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: Mapping[str, int]
    subgraphs: int
    functions: tuple[str, ...]
    custom_domains: tuple[str, ...]
    conversions: Mapping[str, int]
    parameters: Parameters
    bytes_by_dtype: Mapping[str, int]
    cost: Cost
    unnamed_nodes: int

    def to_dict(self) -> dict[str, Any]:
        """The facts as JSON values, derived totals included."""
        facts = dataclasses.asdict(self)
        facts["parameters"] |= {
            "total": self.parameters.total,
            "sparsity": self.parameters.sparsity,
        }
        facts["cost"] |= {
            "macs": self.cost.macs,
            "integer_macs": self.cost.integer_macs,
            "integer_share": self.cost.integer_share,
        }
        return facts


def summarize(source: ModelSource, dimensions: Mapping[str, int] | None = None) -> Summary:
    """Describe a model. It is read tensor by tensor and never run.

    Args:
        source: The model or its path.
        dimensions: Values of symbolic dimensions for counting MACs; a missing one is 1.

    Raises:
        ModelError: if the model or its external data cannot be read.
    """
    model = load_proto(source)
    every_node = list(nodes(model))
    constant_names = {tensor.name for tensor in graph_initializers(model.graph)}
    fed = [value for value in model.graph.input if value.name not in constant_names]
    operators = Counter(_operator(node) for node in every_node)
    return Summary(
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        ir_version=model.ir_version,
        opsets={entry.domain: entry.version for entry in model.opset_import},
        inputs=tuple(map(_port, fed)),
        outputs=tuple(map(_port, model.graph.output)),
        operators=dict(operators.most_common()),
        subgraphs=sum(1 for _ in graphs(model)) - 1,
        functions=tuple(function.name for function in model.functions),
        custom_domains=_custom_domains(model, every_node),
        conversions={name: operators[name] for name in _CONVERSIONS if operators[name]},
        parameters=count_parameters(source),
        bytes_by_dtype=bytes_by_dtype(source),
        cost=count_macs(source, dimensions),
        unnamed_nodes=sum(1 for node in every_node if not node.name),
    )


def _operator(node: NodeProto) -> str:
    return node.op_type if is_standard(node) else f"{node.domain}::{node.op_type}"


def _custom_domains(model: onnx.ModelProto, every_node: Iterable[NodeProto]) -> tuple[str, ...]:
    own = {function.domain for function in model.functions}
    used = {node.domain for node in every_node if not is_standard(node)}
    return tuple(sorted(used - own - {"ai.onnx.ml"}))


def _port(value: ValueInfoProto) -> Port:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return Port(value.name, (kind or "unknown").removesuffix("_type"), None)
    tensor = value.type.tensor_type
    dtype = dtype_name(tensor.elem_type)
    if not tensor.HasField("shape"):
        return Port(value.name, dtype, None)
    return Port(value.name, dtype, tuple(map(_dimension, tensor.shape.dim)))


def _dimension(dimension: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dimension.HasField("dim_value"):
        return int(dimension.dim_value)
    return dimension.dim_param or None
