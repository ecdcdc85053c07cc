"""The model as a graph, on onnx-graphsurgeon: load, edit safely, check, save.

The only room that knows graphsurgeon's internals.
"""

from onnxq.graph.copying import copy_model, unique_constants
from onnxq.graph.editing import (
    bound_constant,
    is_output,
    only_reader,
    producer,
    remove_dead_nodes,
    remove_nodes,
    replace_uses,
    set_input,
    take_output,
    unlink,
)
from onnxq.graph.elements import Constant, Node, Stored, Tensor, Variable, constant, read
from onnxq.graph.embedding import embedded
from onnxq.graph.exporting import bodies
from onnxq.graph.extracting import extract
from onnxq.graph.importing import Graph
from onnxq.graph.invariants import check_invariants
from onnxq.graph.model import Model
from onnxq.graph.opset import convert_opset
from onnxq.graph.ordering import reads, sort
from onnxq.graph.reading import Source, load
from onnxq.graph.soundness import check_sound
from onnxq.graph.sparsity import promise_sparsity, sparse_layers
from onnxq.graph.types import (
    INFERENCE_ERRORS,
    TensorType,
    derive_types,
    infer_types,
    objection,
    without_weights,
)
from onnxq.graph.writing import atomic_file, save

__all__ = [
    "INFERENCE_ERRORS",
    "Constant",
    "Graph",
    "Model",
    "Node",
    "Source",
    "Stored",
    "Tensor",
    "TensorType",
    "Variable",
    "atomic_file",
    "bodies",
    "bound_constant",
    "check_invariants",
    "check_sound",
    "constant",
    "convert_opset",
    "copy_model",
    "derive_types",
    "embedded",
    "extract",
    "infer_types",
    "is_output",
    "load",
    "objection",
    "only_reader",
    "producer",
    "promise_sparsity",
    "read",
    "reads",
    "remove_dead_nodes",
    "remove_nodes",
    "replace_uses",
    "save",
    "set_input",
    "sort",
    "sparse_layers",
    "take_output",
    "unique_constants",
    "unlink",
    "without_weights",
]
