"""Every operator: what is pruned around it equals what is masked, and the right groups form."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxq.coupling import Cut, Kind

_HEAD = "float[2,3,8,8] x, float[8,3,3,3] W1, float[8] B1"
_CONV = "a = Conv<pads=[1,1,1,1]>(x, W1, B1)"
_TAIL = "float[4,8,1,1] W2"

# Each: further weights, the nodes between `a` and `b` (8 channels at axis 1, then a Conv to 4).
_BETWEEN = {
    "Relu": ("", "b = Relu(a)"),
    "LeakyRelu": ("", "b = LeakyRelu(a)"),
    "Elu": ("", "b = Elu(a)"),
    "Tanh": ("", "b = Tanh(a)"),
    "Sigmoid": ("", "b = Sigmoid(a)"),
    "HardSigmoid": ("", "b = HardSigmoid<alpha=0.3, beta=0.4>(a)"),
    "HardSwish": ("", "b = HardSwish(a)"),
    "Softplus": ("", "b = Softplus(a)"),
    "Exp": ("", "b = Exp(a)"),
    "Clip": ("", "l = Constant<value_float=0.5>() h = Constant<value_float=2.0>() b = Clip(a,l,h)"),
    "PRelu": (", float[8,1,1] S", "b = PRelu(a, S)"),
    "PRelu shared": (", float[1,1,1] S", "b = PRelu(a, S)"),
    "BatchNormalization": (
        ", float[8] S, float[8] B, float[8] M, float[8] V",
        "b = BatchNormalization(a, S, B, M, V)",
    ),
    "InstanceNormalization": (", float[8] S, float[8] B", "b = InstanceNormalization(a, S, B)"),
    "Add constant": (", float[1,8,1,1] C", "b = Add(a, C)"),
    "Sub from": (", float[8,1,1] C", "b = Sub(C, a)"),
    "Mul constant": (", float[8,1,1] C", "b = Mul(C, a)"),
    "Div constant": (", float[8,1,1] V", "b = Div(a, V)"),
    "Add number": ("", "c = Constant<value_float=3.0>() b = Add(a, c)"),
    "hard swish": (
        "",
        "t = Constant<value_float=3.0>() z = Constant<value_float=0.0>()"
        "s = Constant<value_float=6.0>() d = Add(a, t) e = Clip(d, z, s) f = Div(e, s)"
        "b = Mul(a, f)",
    ),
    "squeeze and excite": (
        ", float[4,8,1,1] S1, float[4] D1, float[8,4,1,1] S2, float[8] D2",
        "p = GlobalAveragePool(a) q = Conv(p, S1, D1) r = Relu(q) s = Conv(r, S2, D2)"
        "t = Sigmoid(s) b = Mul(a, t)",
    ),
    "residual": (", float[8,8,3,3] R", "r = Conv<pads=[1,1,1,1]>(a, R) b = Add(a, r)"),
    "depthwise": (", float[8,1,3,3] D, float[8] E", "b = Conv<group=8,pads=[1,1,1,1]>(a, D, E)"),
    "groups": (", float[8,4,3,3] G, float[8] E", "b = Conv<group=2,pads=[1,1,1,1]>(a, G, E)"),
    "ConvTranspose": (", float[8,8,3,3] T, float[8] E", "b = ConvTranspose(a, T, E)"),
    "ConvTranspose groups": (", float[8,4,3,3] T", "b = ConvTranspose<group=2>(a, T)"),
    "ConvTranspose depthwise": (", float[8,1,2,2] T", "b = ConvTranspose<group=8>(a, T)"),
    "MaxPool": ("", "b = MaxPool<kernel_shape=[3,3],pads=[1,1,1,1]>(a)"),
    "AveragePool": ("", "b = AveragePool<kernel_shape=[3,3],pads=[1,1,1,1]>(a)"),
    "GlobalMaxPool": ("", "b = GlobalMaxPool(a)"),
    "Resize": (
        "",
        'e = Constant<value_floats=[1.0,1.0,2.0,2.0]>()b = Resize<mode="nearest">(a, , e)',
    ),
    "Resize to sizes": (
        "",
        'e = Constant<value_ints=[2,8,16,16]>()b = Resize<mode="linear">(a, , , e)',
    ),
    "Pad": ("", "p = Constant<value_ints=[0,0,1,1,0,0,1,1]>() b = Pad(a, p)"),
    "Pad channels": (
        ", float[10,8,1,1] O, float[8,10,1,1] N",
        "p = Constant<value_ints=[0,1,0,0,0,1,0,0]>() q = Pad(a, p)"
        "r = Conv(a, O) s = Add(q, r) b = Conv(s, N)",
    ),
    "Slice spatial": (
        "",
        "s = Constant<value_ints=[1,1]>() e = Constant<value_ints=[7,7]>()"
        "t = Constant<value_ints=[2,3]>() b = Slice(a, s, e, t)",
    ),
    "Slice channels": (
        ", float[8,5,1,1] N",
        "s = Constant<value_ints=[2]>() e = Constant<value_ints=[7]>()"
        "t = Constant<value_ints=[1]>() c = Slice(a, s, e, t) b = Conv(c, N)",
    ),
    "Split": (
        ", float[8,3,1,1] N, float[8,5,1,1] O",
        "n = Constant<value_ints=[3,5]>() c, d = Split<axis=1>(a, n)"
        "e = Conv(c, N) f = Conv(d, O) b = Add(e, f)",
    ),
    "Split evenly": (
        ", float[8,4,1,1] N, float[8,4,1,1] O",
        "c, d = Split<axis=1>(a) e = Conv(c, N) f = Conv(d, O) b = Add(e, f)",
    ),
    "Split and gate": (
        ", float[8,4,1,1] N",
        "c, d = Split<axis=1>(a) e = Sigmoid(d) f = Mul(c, e) b = Conv(f, N)",
    ),
    "Gather": (
        ", float[8,6,1,1] N",
        "i = Constant<value_ints=[7,0,3,5,-4,1]>() c = Gather<axis=1>(a, i) b = Conv(c, N)",
    ),
    "Concat": (
        ", float[6,8,1,1] N, float[8,14,1,1] O",
        "c = Conv(a, N) d = Concat<axis=1>(a, c) b = Conv(d, O)",
    ),
    "Concat with an input": (
        ", float[8,11,1,1] O",
        "d = Concat<axis=1>(a, x) b = Conv(d, O)",
    ),
    "Concat of itself": (", float[8,16,1,1] O", "d = Concat<axis=1>(a, a) b = Conv(d, O)"),
    "Concat along another axis": ("", "c = Relu(a) b = Concat<axis=2>(a, c)"),
    "Transpose": (
        ", float[8] C",
        "c = Transpose<perm=[0,2,3,1]>(a) d = Add(c, C) b = Transpose<perm=[0,3,1,2]>(d)",
    ),
    "shuffle": (
        "",
        "s = Constant<value_ints=[2,2,4,8,8]>() t = Constant<value_ints=[2,8,8,8]>()"
        "c = Reshape(a, s) d = Transpose<perm=[0,2,1,3,4]>(c) b = Reshape(d, t)",
    ),
    "Reshape there and back": (
        "",
        "s = Constant<value_ints=[0,0,-1]>() t = Constant<value_ints=[2,8,8,8]>()"
        "c = Reshape(a, s) d = Relu(c) b = Reshape(d, t)",
    ),
    "Reshape of a shape": (
        "",
        "s = Constant<value_ints=[0,0,-1]>() c = Reshape(a, s) d = Sigmoid(c) t = Shape(a)"
        "e = Reshape(d, t) b = Mul(a, e)",
    ),
    "Squeeze": (
        "",
        "p = GlobalAveragePool(a) i = Constant<value_ints=[2,3]>() c = Squeeze(p, i)"
        "d = Tanh(c) b = Unsqueeze(d, i)",
    ),
    "Expand": (
        "",
        "p = GlobalAveragePool(a) s = Constant<value_ints=[2,8,4,4]>() b = Expand(p, s)",
    ),
    "Expand to a shape": ("", "p = GlobalAveragePool(a) s = Shape(a) b = Expand(p, s)"),
    "Tile": (
        ", float[8,24,1,1] N",
        "t = Constant<value_ints=[1,3,1,2]>() c = Tile(a, t) b = Conv(c, N)",
    ),
    "DepthToSpace": (
        ", float[8,2,1,1] N",
        "c = DepthToSpace<blocksize=2>(a) b = Conv(c, N)",
    ),
    "DepthToSpace CRD": (
        ", float[8,2,1,1] N",
        'c = DepthToSpace<blocksize=2,mode="CRD">(a) b = Conv(c, N)',
    ),
    "SpaceToDepth": (
        ", float[8,32,1,1] N",
        "c = SpaceToDepth<blocksize=2>(a) b = Conv(c, N)",
    ),
    "ReduceMean": ("", "b = ReduceMean<axes=[2,3]>(a)"),
    "ReduceMax": ("", "b = ReduceMax<axes=[2,3]>(a)"),
    "ReduceSum": ("", "i = Constant<value_ints=[1]>() c = ReduceSum(a, i) b = Mul(a, c)"),
    "ReduceL2": ("", "c = ReduceL2<axes=[1]>(a) b = Div(a, c)"),
    "Softmax over space": (
        "",
        "s = Constant<value_ints=[0,0,-1]>() c = Reshape(a, s) d = Softmax(c) t = Shape(a)"
        "e = Reshape(d, t) b = Mul(a, e)",
    ),
    "shared weight": (
        ", float[8,8,1,1] S",
        "c = Conv(a, S) d = Relu(c) e = Conv(d, S) b = Add(e, a)",
    ),
    "Max of two": (", float[8,3,3,3] R", "r = Conv<pads=[1,1,1,1]>(x, R) b = Max(a, r)"),
    "Where": (
        ", float[8,1,1] C",
        "z = Constant<value_float=0.0>() m = Greater(a, z)"
        " n = Not(m) o = Cast<to=1>(n) b = Mul(o, a)",
    ),
    "Dropout": ("", "b = Dropout(a)"),
    "Identity": ("", "c = Identity(a) b = Cast<to=1>(c)"),
    "weight behind Transpose": (
        ", float[3,3,8,8] T",
        "w = Transpose<perm=[3,2,0,1]>(T) b = Conv<pads=[1,1,1,1]>(a, w)",
    ),
    "weight behind Reshape": (
        ", float[8,72] T",
        "s = Constant<value_ints=[8,8,3,3]>() w = Reshape(T, s)b = Conv<pads=[1,1,1,1]>(a, w)",
    ),
    "scaled weight": (
        ", float[8,8,1,1] T, float[8,1,1,1] V",
        "w = Mul(T, V) b = Conv(a, w)",
    ),
}


@pytest.mark.parametrize("name", _BETWEEN)
def test_between_convolutions(name, oracle, from_text):
    more, nodes = _BETWEEN[name]
    opset = 14 if name in ("HardSwish",) else 13
    text = f"""g ({_HEAD}{more}, {_TAIL}) => (float[a,b,c,d] y) {{
        {_CONV}
        {nodes}
        y = Conv(b, W2)
    }}"""
    result = oracle(from_text(text, opset=opset))
    shrunk = {f.tensors[0][0] for f in result.grouping.frozen} - {"W2"}
    assert result.grouping.groups, result.reasons
    assert not shrunk & {"W1"} or name in ("Concat with an input",), result.reasons
    assert result.shape("W1")[0] < 8


def test_sigmoid_before_a_padded_layer_is_refused(oracle, from_text):
    text = f"""g ({_HEAD}, float[4,8,3,3] W2) => (float[2,4,8,8] y) {{
        {_CONV}
        b = Sigmoid(a)
        y = Conv<pads=[1,1,1,1]>(b, W2)
    }}"""
    result = oracle(from_text(text))
    assert not result.grouping.groups
    assert any("differ at the border" in reason for reason in result.reasons)


_LINEAR = {
    "Gemm": (
        "float[4,6] x, float[10,6] A, float[10] B, float[10,3] C",
        "a = Gemm<transB=1>(x, A, B) b = Relu(a) y = Gemm(b, C)",
    ),
    "Gemm with a folded constant": (
        "float[4,6] x, float[10,6] A, float[10] B, float[10,3] C, float[1,3] D",
        "a = Gemm<transB=1>(x, A, B) b = Sigmoid(a) y = Gemm<alpha=0.5,beta=2.0>(b, C, D)",
    ),
    "Gemm without bias, folded": (
        "float[4,6] x, float[6,10] A, float[10,3] C",
        "a = Gemm(x, A) b = Sigmoid(a) y = Gemm(b, C)",
    ),
    "Gemm transposed": (
        "float[6,4] x, float[6,10] A, float[10,3] C",
        "a = Gemm<transA=1>(x, A) b = Relu(a) y = Gemm(b, C)",
    ),
    "MatMul": (
        "float[2,5,6] x, float[6,10] A, float[10] B, float[10,3] C",
        "a = MatMul(x, A) b = Add(a, B) c = Relu(b) y = MatMul(c, C)",
    ),
    "MatMul folded": (
        "float[2,5,6] x, float[6,10] A, float[10,3] C, float[3] D",
        "a = MatMul(x, A) b = Sigmoid(a) c = MatMul(b, C) y = Add(c, D)",
    ),
    "MatMul from the left": (
        "float[2,6,5] x, float[10,6] A, float[3,10] C",
        "a = MatMul(A, x) b = Relu(a) y = MatMul(C, b)",
    ),
    "batched MatMul": (
        "float[2,5,6] x, float[6,10] A, float[6,10] C, float[5,3] D",
        "a = MatMul(x, A) b = MatMul(x, C) c = Transpose<perm=[0,2,1]>(b)"
        "d = MatMul(a, c) y = MatMul(d, D)",
    ),
    "tokens and channels": (
        "float[2,5,6] x, float[6,10] A, float[5,7] T, float[7,3] U, float[10,4] C",
        "a = MatMul(x, A) b = Transpose<perm=[0,2,1]>(a) c = MatMul(b, T) d = Relu(c)"
        "e = MatMul(d, U) f = Transpose<perm=[0,2,1]>(e) y = MatMul(f, C)",
    ),
    "embedding": (
        "int64[2,5] x, float[9,6] E, float[4,6] P, float[6,3] C, int64[5] I",
        "a = Gather(E, x) i = Constant<value_ints=[0,1,2,3,1]>() p = Gather(P, i)"
        "b = Add(a, p) y = MatMul(b, C)",
    ),
    "Flatten": (
        "float[2,3,4,4] x, float[8,3,1,1] A, float[128,5] C",
        "a = Conv(x, A) b = Flatten(a) y = MatMul(b, C)",
    ),
    "Reshape to rows": (
        "float[2,3,4,4] x, float[8,3,1,1] A, float[128,5] C",
        "a = Conv(x, A) s = Constant<value_ints=[-1,128]>() b = Reshape(a, s) y = MatMul(b, C)",
    ),
    "gated": (
        "float[2,6] x, float[6,10] A, float[6,10] B, float[10,3] C",
        "a = MatMul(x, A) b = MatMul(x, B) c = Sigmoid(a) d = Mul(c, a) e = Mul(d, b)"
        "y = MatMul(e, C)",
    ),
    "Einsum stays": (
        "float[2,6] x, float[6,10] A, float[10,3] C",
        'a = MatMul(x, A) b = Einsum<equation="ij->ij">(a) y = MatMul(b, C)',
    ),
    "LayerNormalization stays": (
        "float[2,6] x, float[6,10] A, float[10] S, float[10] B, float[10,3] C",
        "a = MatMul(x, A) b = LayerNormalization(a, S, B) y = MatMul(b, C)",
    ),
}


@pytest.mark.parametrize("name", _LINEAR)
def test_linear(name, oracle, from_text):
    inputs, nodes = _LINEAR[name]
    result = oracle(
        from_text(f"g ({inputs}) => (float[a,b] y) {{ {nodes} }}")
        if "[2,5" not in inputs and "[2,6,5]" not in inputs
        else from_text(f"g ({inputs}) => (float[a,b,c] y) {{ {nodes} }}")
    )
    if "stays" in name:
        assert not result.grouping.groups
        assert result.reasons
    else:
        assert result.grouping.groups


_ATTENTION = """g (float[batch,length,12] x, float[12,24] Q, float[24] QB, float[12,24] K,
        float[12,24] W, float[24] WB, float[24,12] O) => (float[batch,length,12] y) {
    q0 = MatMul(x, Q)  q1 = Add(q0, QB)  k1 = MatMul(x, K)  v0 = MatMul(x, W)  v1 = Add(v0, WB)
    s = Shape(x)  i0 = Constant<value_ints=[0]>()  i1 = Constant<value_ints=[1]>()
    b = Gather(s, i0)  l = Gather(s, i1)  h = Constant<value_ints=[4]>()
    d = Constant<value_ints=[6]>()  w = Constant<value_ints=[24]>()
    split = Concat<axis=0>(b, l, h, d)
    q2 = Reshape(q1, split)  k2 = Reshape(k1, split)  v2 = Reshape(v1, split)
    q3 = Transpose<perm=[0,2,1,3]>(q2)  k3 = Transpose<perm=[0,2,3,1]>(k2)
    v3 = Transpose<perm=[0,2,1,3]>(v2)
    c = Constant<value_float=0.4>()
    t0 = MatMul(q3, k3)  t1 = Mul(t0, c)  t2 = Softmax<axis=-1>(t1)  o0 = MatMul(t2, v3)
    o1 = Transpose<perm=[0,2,1,3]>(o0)  join = Concat<axis=0>(b, l, w)  o2 = Reshape(o1, join)
    y = MatMul(o2, O)
}"""


def test_attention_is_cut_inside_its_heads(oracle, from_text):
    result = oracle(from_text(_ATTENTION))
    assert sorted(result.sizes.values()) == [6, 6]
    assert [g.kind for g in result.grouping.groups] == [Kind.CHANNELS] * 2
    assert result.shape("Q") == result.shape("K") == (12, 16)
    assert result.shape("O") == (16, 12)


def test_attention_loses_whole_heads(oracle, from_text):
    result = oracle(from_text(_ATTENTION), cut=Cut.HEADS)
    assert list(result.sizes.values()) == [4]
    assert result.grouping.groups[0].kind is Kind.HEADS
    for name in ("Q", "K", "W"):
        assert result.shape(name) == (12, 12)


def test_the_scale_of_attention_stays_when_it_is_computed(oracle, from_text):
    text = _ATTENTION.replace(
        "c = Constant<value_float=0.4>()",
        "n = Shape(q3) m = Constant<value_ints=[3]>() e = Gather(n, m) f = Cast<to=1>(e)"
        "r = Sqrt(f) c = Reciprocal(r)",
    )
    oracle(from_text(text))


_RECURRENT = {
    "LSTM": "y1, h, c = LSTM<hidden_size=6>(x, W, R, B)",
    "LSTM bidirectional": 'y1, h = LSTM<hidden_size=6,direction="bidirectional">(x, W, R, B)',
    "GRU": "y1 = GRU<hidden_size=6,linear_before_reset=1>(x, W, R, B)",
    "GRU from zero": "y1 = GRU<hidden_size=6>(x, W, R, B, , Z)",
    "RNN": "y1 = RNN<hidden_size=6>(x, W, R, B)",
}


@pytest.mark.parametrize("name", _RECURRENT)
def test_recurrent(name, oracle, from_text):
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[name.split()[0]]
    ways = 2 if "bidirectional" in name else 1
    text = f"""g (float[5,2,4] f, float[4,8] A, float[{ways},{6 * gates},8] W,
            float[{ways},{6 * gates},6] R, float[{ways},{12 * gates}] B, float[1,2,6] Z,
            float[{6 * ways},3] C) => (float[5,2,3] y) {{
        x = MatMul(f, A)
        {_RECURRENT[name]}
        t = Transpose<perm=[0,2,1,3]>(y1)
        s = Constant<value_ints=[5,2,{6 * ways}]>()
        u = Reshape(t, s)
        y = MatMul(u, C)
    }}"""
    result = oracle(from_text(text))
    assert {g.kind for g in result.grouping.groups} == {Kind.CHANNELS, Kind.HIDDEN}
    node = next(n for n in result.pruned.graph.node if n.op_type == name.split()[0])
    size = next(a.i for a in node.attribute if a.name == "hidden_size")
    assert size == 4 == result.shape("R")[2]


def test_quantized(oracle, from_text):
    text = """g (float[2,3,6,6] x, int8[8,3,3,3] W1, float[8] V1, int8[8] P1, int8[4,8,1,1] W2,
            float[1] V2, float[1] V3, uint8[1] P3) => (float[2,4,6,6] y) {
        w1 = DequantizeLinear<axis=0>(W1, V1, P1)
        a = Conv<pads=[1,1,1,1]>(x, w1)
        v = Constant<value_float=0.05>()
        s = Constant<value_float=0.8>()
        b = Relu(a)
        n = Constant<value = uint8 {3}>()
        q = QuantizeLinear(b, s, n)
        d = DequantizeLinear(q, s, n)
        w2 = DequantizeLinear(W2, v)
        y = Conv(d, w2)
    }"""
    result = oracle(from_text(text))
    assert result.shape("W1") == (5, 3, 3, 3)
    assert result.shape("V1") == result.shape("P1") == (5,)
    assert result.shape("W2") == (4, 5, 1, 1)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "ReduceMean", "ReduceMax", "TopK", "LRN"])
def test_what_meets_over_channels_holds_them(op, oracle, from_text):
    nodes = {
        "Softmax": "b = Softmax<axis=1>(a)",
        "LogSoftmax": "b = LogSoftmax<axis=1>(a)",
        "ReduceMean": "c = ReduceMean<axes=[1]>(a) b = Mul(a, c)",
        "ReduceMax": "c = ReduceMax<axes=[1]>(a) b = Mul(a, c)",
        "TopK": "k = Constant<value_ints=[8]>() b, i = TopK<axis=1>(a, k)",
        "LRN": "b = LRN<size=3>(a)",
    }[op]
    text = f"g ({_HEAD}, {_TAIL}) => (float[a,b,c,d] y) {{ {_CONV} {nodes} y = Conv(b, W2) }}"
    result = oracle(from_text(text, opset=13))
    assert not result.grouping.groups
    assert any(f"({op})" in reason for reason in result.reasons)


def test_what_a_body_reads_stays(oracle, from_text):
    inner = onnx.parser.parse_graph("then () => (float[2,4,8,8] t) { t = Identity(b) }")
    other = onnx.parser.parse_graph("other () => (float[2,4,8,8] e) { e = Neg(b) }")
    proto = from_text(f"""g ({_HEAD}, float[4,8,1,1] W2, float[4,4,1,1] W3)
        => (float[2,4,8,8] y) {{
        {_CONV} r = Relu(a) b = Conv(r, W2) d = Conv(b, W3) z = Identity(d) y = Add(z, d) }}""")
    condition = onnx.numpy_helper.from_array(np.asarray(True), "condition")
    proto.graph.initializer.append(condition)
    node = onnx.helper.make_node(
        "If", ["condition"], ["z"], name="if", then_branch=inner, else_branch=other
    )
    index = next(i for i, n in enumerate(proto.graph.node) if n.op_type == "Identity")
    proto.graph.node[index].CopyFrom(node)
    result = oracle(proto)
    assert list(result.sizes.values()) == [8]
    assert any("'if' (If)" in reason for reason in result.reasons)
