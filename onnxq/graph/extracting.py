"""Part of a graph as a model of its own, to be run by an engine."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from onnxq.graph.elements import Node, Tensor, Variable
from onnxq.graph.embedding import embedded
from onnxq.graph.exporting import export_main
from onnxq.graph.importing import Graph
from onnxq.graph.model import Model


def extract(model: Model, nodes: Sequence[Node], outputs: Sequence[Tensor]) -> onnx.ModelProto:
    """A ModelProto of `nodes` alone, which must be in order, that returns `outputs`.

    Everything they read must be constant or computed among them.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(model.header)
    part = Graph(onnx.GraphProto(name="part"), model.opset)
    part.nodes = list(nodes)
    part.outputs = [Variable(t.name) for t in outputs]
    export_main(proto.graph, part, embedded, list_defaults=False)
    if proto.ir_version < 4:
        proto.ir_version = 4
    return proto
