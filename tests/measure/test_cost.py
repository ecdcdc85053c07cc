from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.measure import count_macs
from onnxq.measure.mac_rules import UncountableError, _matrix_product


def parse(inputs: str, outputs: str, body: str, **weights: Any) -> onnx.ModelProto:
    model = onnx.parser.parse_model(f"""<ir_version: 10,
        opset_import: ["": 21, "com.microsoft": 1, "mine": 1]>
        g ({inputs}) => ({outputs}) {{ {body} }}""")
    for name, value in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return model


def zeros(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("body", "inputs", "weights", "expected"),
    [
        # 3x3 convolution, 8 -> 16 channels, 10x10 outputs.
        ("y = Conv<pads=[1,1,1,1]>(x, w)", "float[2,8,10,10] x", {"w": zeros(16, 8, 3, 3)},
         2 * 16 * 100 * 8 * 9),
        ("y = Conv<group=8, strides=[2,2]>(x, w)", "float[1,8,10,10] x", {"w": zeros(8, 1, 2, 2)},
         8 * 25 * 4),
        ("y = Conv(x, w)", "float[1,4,10] x", {"w": zeros(6, 4, 3)}, 6 * 8 * 4 * 3),
        ("y = ConvTranspose<strides=[2,2]>(x, w)", "float[1,8,5,5] x", {"w": zeros(8, 3, 2, 2)},
         8 * 25 * 3 * 4),
        ("y = Gemm(x, w)", "float[5,7] x", {"w": zeros(7, 3)}, 5 * 7 * 3),
        ("y = Gemm<transA=1, transB=1>(x, w)", "float[7,5] x", {"w": zeros(3, 7)}, 5 * 7 * 3),
        ("y = MatMul(x, w)", "float[2,6,5,7] x", {"w": zeros(7, 3)}, 2 * 6 * 5 * 7 * 3),
        ("y = MatMul(x, w)", "float[1,6,5,7] x", {"w": zeros(4, 1, 7, 3)}, 4 * 6 * 5 * 7 * 3),
        ("y = MatMul(x, w)", "float[7] x", {"w": zeros(7)}, 7),
        ("y = Einsum<equation='bij, bjk -> bik'>(x, w)", "float[2,5,7] x", {"w": zeros(2, 7, 3)},
         2 * 5 * 7 * 3),
        # 4 gates, input 3, hidden 5, 2 directions, 6 steps, batch 2.
        ("y = LSTM<hidden_size=5, direction='bidirectional'>(x, w, r)", "float[6,2,3] x",
         {"w": zeros(2, 20, 3), "r": zeros(2, 20, 5)}, 6 * 2 * 2 * (20 * 3 + 20 * 5)),
        ("y = GRU<hidden_size=5>(x, w, r)", "float[6,2,3] x",
         {"w": zeros(1, 15, 3), "r": zeros(1, 15, 5)}, 6 * 2 * (15 * 3 + 15 * 5)),
        ("y = com.microsoft.FusedMatMul<transB=1>(x, w)", "float[5,7] x", {"w": zeros(3, 7)},
         5 * 7 * 3),
        ("y = com.microsoft.MatMulNBits<K=7, N=3, bits=4, block_size=16>(x, w, s)",
         "float[5,7] x", {"w": np.zeros((3, 1, 8), np.uint8), "s": zeros(3)}, 5 * 7 * 3),
        ("y = Relu(x)", "float[5,7] x", {}, 0),
    ],
)  # fmt: skip
def test_macs(body: str, inputs: str, weights: dict[str, Any], expected: int) -> None:
    cost = count_macs(parse(inputs, "float y", body.replace("'", '"'), **weights))
    assert cost.uncounted == ()
    assert cost.macs == expected
    assert cost.assumed_dimensions == ()


def test_attention() -> None:
    model = parse("float[2,4,5,8] q, float[2,4,6,8] k, float[2,4,6,3] v", "float y",
                  "y = Attention(q, k, v)")  # fmt: skip
    model.opset_import[0].version = 23
    assert count_macs(model).macs == 2 * 4 * 5 * 6 * (8 + 3)


def test_symbolic_dimensions() -> None:
    model = parse("float[N, 7, T] x", "float[N, 7, 3] y", "y = MatMul(x, w)", w=zeros(4, 3))
    assert count_macs(model, {"N": 2, "T": 4}).macs == 2 * 7 * 4 * 3
    assert count_macs(model, {"N": 2, "T": 4}).assumed_dimensions == ()
    assumed = count_macs(model, {"T": 4})
    assert assumed.macs == 7 * 4 * 3
    assert assumed.assumed_dimensions == ("N",)


def test_shapes_computed_in_the_graph() -> None:
    model = parse(
        "float[N, 8, 2, 2] x",
        "float[N, 3] y",
        """s = Shape(x)
        zero = Constant<value = int64[1] {0}>()
        n = Gather(s, zero)
        rest = Constant<value = int64[1] {-1}>()
        target = Concat<axis = 0>(n, rest)
        flat = Reshape(x, target)
        y = MatMul(flat, w)""",
        w=zeros(32, 3),
    )
    assert count_macs(model, {"N": 5}).macs == 5 * 32 * 3


def test_weights_are_neither_needed_nor_changed() -> None:
    model = parse("float[1,100] x", "float[1,100] y", "y = MatMul(x, w)", w=zeros(100, 100))
    content = model.SerializeToString()
    assert count_macs(model).macs == 10_000
    assert model.SerializeToString() == content


def test_unknown_shape_is_listed() -> None:
    model = parse("float[4,4] x", "float y", """i = NonZero(x)
        f = Cast<to = 1>(i)
        y = MatMul(f, w)""", w=zeros(4, 3))  # fmt: skip
    (uncounted,) = count_macs(model).uncounted
    assert uncounted.op_type == "MatMul"
    assert uncounted.reason == "the shape of 'f' is not known before the model runs"


def test_unknown_domain_is_listed() -> None:
    cost = count_macs(parse("float[4,4] x", "float[4,4] y", "y = mine.Magic(x)"))
    assert cost.uncounted[0].reason == "no counting rule for 'Magic' of domain 'mine'"


def test_a_wrong_declaration_does_not_stop_the_count() -> None:
    model = parse("float[5,7] x", "float[9,9] y", "y = MatMul(x, w)", w=zeros(7, 3))
    assert count_macs(model).macs == 5 * 7 * 3


def test_a_model_that_inference_rejects() -> None:
    model = parse("float[5,7] x", "float[5,3] y", """a = MatMul(x, w)
        y = MatMul(x, v)""", w=zeros(7, 3), v=zeros(8, 3))  # fmt: skip
    cost = count_macs(model)
    assert [node.node for node in cost.nodes] == ["a", "y"]
    assert cost.note.startswith("node of 'y' (MatMul): [ShapeInferenceError]")


def test_if_counts_the_costlier_branch() -> None:
    model = parse("bool c, float[2,4] x", "float[2,4] y", """y = If(c) <
        then_branch = t () => (float[2,4] a) { h = MatMul(x, w) a = MatMul(h, w) },
        else_branch = e () => (float[2,4] b) { b = MatMul(x, w) }>""", w=zeros(4, 4))  # fmt: skip
    assert count_macs(model).macs == 2 * 2 * 4 * 4


def test_loop_bodies_are_uncounted() -> None:
    model = parse("int64 n, bool c, float[2,4] x", "float[2,4] y", """y = Loop(n, c, x) <
        body = b (int64 i, bool go, float[2,4] s) => (bool go2, float[2,4] o) {
            go2 = Identity(go) o = MatMul(s, w) }>""", w=zeros(4, 4))  # fmt: skip
    cost = count_macs(model)
    assert cost.macs == 0
    assert "an unknown number of times" in cost.uncounted[0].reason


def test_local_functions_are_counted() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 17, "own": 1]>
        g (float[2,4] x, float[4,5] w) => (float[2,5] y) { y = own.product(x, w) }
        <domain: "own", opset_import: ["": 17]>
        product (a, b) => (c) { c = MatMul(a, b) }""")
    assert count_macs(model).macs == 2 * 4 * 5


@pytest.mark.parametrize("wrap", ["d", "Transpose(d)", "Identity(d)"])
def test_integer_share(wrap: str) -> None:
    chain = "" if wrap == "d" else f"t = {wrap}"
    weight = "d" if wrap == "d" else "t"
    model = parse("float[2,4] x", "float y", f"""q = QuantizeLinear(x, s)
        xd = DequantizeLinear(q, s)
        d = DequantizeLinear(codes, s)
        {chain}
        a = MatMul(xd, {weight})
        y = MatMul(a, w)""", w=zeros(4, 12), codes=np.zeros((4, 4), np.int8),
        s=np.float32(0.1))  # fmt: skip
    cost = count_macs(model)
    assert [node.integer for node in cost.nodes] == [True, False]
    assert cost.integer_share == pytest.approx(0.25)


def test_integer_operators() -> None:
    model = parse("uint8[1,4,5,5] x", "int32 y", "y = ConvInteger(x, w)",
                  w=np.zeros((6, 4, 3, 3), np.int8))  # fmt: skip
    cost = count_macs(model)
    assert cost.macs == 6 * 9 * 4 * 9
    assert cost.integer_macs == cost.macs


def test_qlinear_conv() -> None:
    inputs = ["x", "s", "z", "w", "s", "wz", "s", "z"]
    node = helper.make_node("QLinearConv", inputs, ["y"])
    model = parse("uint8[1,4,5,5] x", "uint8 y", "y = Relu(x)", s=np.float32(1),
                  z=np.uint8(0), wz=np.int8(0), w=np.zeros((6, 4, 3, 3), np.int8))  # fmt: skip
    del model.graph.node[:]
    model.graph.node.append(node)
    assert count_macs(model).integer_macs == 6 * 9 * 4 * 9


@pytest.mark.parametrize(("network", "published"), [("resnet50", 4.09e9), ("vgg19", 19.63e9)])
def test_published_networks(network: str, published: float) -> None:
    data = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    path = data / f"light_{network}.onnx"
    if not path.is_file():
        pytest.skip("this onnx package carries no model topologies")
    cost = count_macs(path)
    assert cost.macs == pytest.approx(published, rel=2e-3)
    assert cost.uncounted == ()


@pytest.mark.parametrize("dimensions", [0, 1, 40])
def test_products_of_many_dimensions(dimensions: int) -> None:
    batch = (1, 5) * (dimensions // 2) + (7,) * (dimensions % 2)
    assert _matrix_product((*batch, 2, 3), (3, 4)) == prod(batch) * 2 * 3 * 4
    assert _matrix_product((2, 3), (*batch, 3, 4)) == prod(batch) * 2 * 3 * 4


def test_batches_that_differ_are_not_counted() -> None:
    with pytest.raises(UncountableError, match="batch dimensions"):
        _matrix_product((2, 2, 3), (5, 3, 4))
