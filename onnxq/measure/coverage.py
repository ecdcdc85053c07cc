"""Which nodes of an optimized model compute on integers, and which stayed float.

The input is the graph that ONNX Runtime wrote after its optimizations
(`optimized_model_filepath`), so this reads what runs and guesses nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import onnx
from onnx import NodeProto

from onnxq.measure.optimized import OptimizedGraph
from onnxq.measure.protos import CODE_TYPES, FLOAT_TYPES, ModelSource, load_proto


class Kind(Enum):
    """What a node works on.

    INTEGER computes on, or moves, quantized values. FLOAT computes on floating-point
    values. CONVERSION turns one into the other. INDEX works on shapes, indices, truth
    values or texts, which quantization does not concern.
    """

    INTEGER = "integer"
    FLOAT = "float"
    CONVERSION = "conversion"
    INDEX = "index"


@dataclass(frozen=True)
class PlacedNode:
    """A node of the optimized graph.

    Attributes:
        name: Its name; may be empty.
        op_type: The operator, with its domain in front if that is not ONNX's own.
        kind: What it works on.
        outputs: The tensors it writes.
        of_weight: Whether it is a conversion of a constant, repeated in every run.
    """

    name: str
    op_type: str
    kind: Kind
    outputs: tuple[str, ...]
    of_weight: bool = False

    @property
    def computes(self) -> bool:
        """Whether it calculates on values, rather than moving or converting them."""
        plain = self.op_type.rpartition("::")[2]
        return self.kind in (Kind.INTEGER, Kind.FLOAT) and plain not in _MOVEMENT


@dataclass(frozen=True)
class Coverage:
    """The nodes of an optimized model by what they work on.

    Attributes:
        nodes: All nodes in graph order. Nodes inside control-flow bodies are not seen.
        graph: The look-up tables, for tracing nodes back to the original model.
    """

    nodes: tuple[PlacedNode, ...]
    graph: OptimizedGraph = field(repr=False, compare=False)

    def of_kind(self, kind: Kind) -> tuple[PlacedNode, ...]:
        """The nodes of one kind in graph order."""
        return tuple(node for node in self.nodes if node.kind is kind)

    @property
    def counts(self) -> Mapping[Kind, int]:
        """Number of nodes of each kind."""
        tally = Counter(node.kind for node in self.nodes)
        return {kind: tally[kind] for kind in Kind}

    @property
    def operators(self) -> Mapping[Kind, Mapping[str, int]]:
        """Number of nodes by operator, for each kind, most frequent first."""
        return {
            kind: dict(Counter(node.op_type for node in self.of_kind(kind)).most_common())
            for kind in Kind
        }

    @property
    def integer_share(self) -> float:
        """Integer nodes over all nodes that compute; 0.0 if none does.

        Nodes that only move or rename data are left out: the engine adds and removes them
        freely when it changes the memory layout.
        """
        computing = [node.kind for node in self.nodes if node.computes]
        return computing.count(Kind.INTEGER) / len(computing) if computing else 0.0

    @property
    def weight_conversions(self) -> tuple[PlacedNode, ...]:
        """DequantizeLinear nodes of weights that the engine repeats in every run."""
        return tuple(node for node in self.nodes if node.of_weight)


def read_optimized(source: ModelSource) -> Coverage:
    """Classify the nodes of a model that ONNX Runtime optimized.

    Args:
        source: The file written by ONNX Runtime, or its content.

    Raises:
        ModelError: if the file cannot be read.
    """
    return _classify(load_proto(source))


def _classify(model: onnx.ModelProto) -> Coverage:
    graph = OptimizedGraph.of(model)
    return Coverage(tuple(_place(node, graph) for node in graph.nodes), graph)


def kind_of(node: NodeProto, graph: OptimizedGraph) -> Kind:
    """What a node of the optimized graph works on."""
    if node.op_type in _CONVERSIONS:
        return Kind.CONVERSION
    if node.op_type in _INTEGER_OPERATORS or node.op_type.startswith(_INTEGER_PREFIXES):
        return Kind.INTEGER
    if node.op_type in _SHAPE_OPERATORS:
        return Kind.INDEX
    written = [graph.dtypes.get(name, 0) for name in node.output if name]
    read = [graph.dtypes.get(name, 0) for name in node.input if name]
    if any(dtype in FLOAT_TYPES for dtype in written):
        return Kind.FLOAT
    if read and read[0] in CODE_TYPES:
        return Kind.INTEGER
    if read and read[0] in FLOAT_TYPES:
        return Kind.FLOAT
    return Kind.INDEX if any(written) else Kind.FLOAT


def _place(node: NodeProto, graph: OptimizedGraph) -> PlacedNode:
    operator = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
    kind = kind_of(node, graph)
    of_weight = kind is Kind.CONVERSION and bool(node.input) and node.input[0] in graph.constants
    return PlacedNode(node.name, operator, kind, tuple(node.output), of_weight)


_CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
_SHAPE_OPERATORS = frozenset({"Shape", "Size"})
_INTEGER_PREFIXES = ("QLinear", "QOrdered")
# Operators that read or hold quantized values although their result may be float.
_INTEGER_OPERATORS = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeMatMul",
        "GatherBlockQuantized",
        "MatMulInteger",
        "MatMulInteger16",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "NhwcMaxPool",
        "QAttention",
        "QEmbedLayerNormalization",
        "QGemm",
        "QMoE",
    }
)
_MOVEMENT = frozenset(
    {
        "Cast",
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "ReorderInput",
        "ReorderOutput",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
