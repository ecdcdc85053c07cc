"""Names of torch modules and their types, found in graphs that torch's exporters wrote."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper, numpy_helper
from onnx.parser import parse_model

from onnxq.compat.layers import layers_of, named, typed
from onnxq.errors import ConfigError
from onnxq.graph import load

_MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
named (float[N,4] x) => (float[N,4] z) {
    [node] y = MatMul (x, W)
    [bias] z = Add (y, B)
}
"""


def layers(node: str = "node", weight: str = "W", bias: str = "B", scopes: str = ""):
    proto = parse_model(_MODEL)
    for name in ("W", "B"):
        shape = (4, 4) if name == "W" else (4,)
        proto.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    renamed = {"W": weight, "B": bias}
    for tensor in proto.graph.initializer:
        tensor.name = renamed[tensor.name]
    for one in proto.graph.node:
        one.input[1] = renamed[one.input[1]]
    proto.graph.node[0].name = node
    if scopes:
        proto.graph.node[0].metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes)
    return layers_of(load(proto))


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("/blocks/blocks.0/conv1/Conv", "blocks.0.conv1"),
        ("/features/features.0/features.0.1/Conv", "features.0.1"),
        ("/layers.0/query/MatMul", "layers.0.query"),
        ("/conv1/Conv", "conv1"),
        ("/0/Conv", "0"),
        ("/block/blocks/Conv", "block.blocks"),
    ],
)
def test_paths_in_names_of_nodes(path, module):
    assert layers(path)[0].module == module


def test_initializers_name_their_module():
    assert layers(weight="blocks.0.conv1.weight")[0].module == "blocks.0.conv1"


def test_a_bias_added_behind_names_the_module_of_a_product():
    assert layers(weight="val_46", bias="layers.0.query.bias")[0].module == "layers.0.query"


def test_metadata_of_the_newer_exporter():
    scopes = "['', 'layers', 'layers.0', 'layers.0.query', 'linear']"
    assert layers(scopes=scopes)[0].module == "layers.0.query"


@pytest.mark.parametrize("scopes", ["nothing", "['']", "['linear']", "{}"])
def test_metadata_that_says_nothing(scopes):
    assert layers(scopes=scopes)[0].module == "node"


@pytest.mark.parametrize("name", ["/fc/MatMul", "fc", "fc.weight", "y"])
def test_a_layer_has_many_names(name):
    (found,) = named(layers("/fc/MatMul", weight="fc.weight")[:1], name, "here")
    assert found.name == "/fc/MatMul"


def test_a_name_that_is_none_names_the_nearest():
    with pytest.raises(ConfigError, match=r"here: 'blocks.0.con' is no layer.*'blocks.0.conv1'\?"):
        named(layers("/blocks/blocks.0/conv1/Conv"), "blocks.0.con", "here")


@pytest.mark.parametrize(("rank", "kind"), [(3, "Conv1d"), (4, "Conv2d"), (5, "Conv3d")])
def test_convolutions_by_the_rank_of_their_weight(rank, kind):
    shape = [1] * rank
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "c")],
        "g",
        [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info("y", 1, shape)],
        [numpy_helper.from_array(np.ones(shape, np.float32), "w")],
    )
    (conv,) = layers_of(load(helper.make_model(graph)))
    assert conv.types == ("Conv", kind)


def test_a_product_of_two_activations_is_no_linear_layer():
    proto = parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[4,4] x) => (float[4,4] y)'
        "{ [m] y = MatMul (x, x) }"
    )
    (product,) = layers_of(load(proto))
    assert product.types == ("MatMul",) and not product.is_weighted


def test_types_of_onnx_and_of_torch():
    both = [typed(layers(), kind, "here")[0].name for kind in ("MatMul", "Linear")]
    assert both == ["node", "node"]
    with pytest.raises(ConfigError, match=r"'Conv2d' is no layer type"):
        typed(layers(), "Conv2d", "here")
