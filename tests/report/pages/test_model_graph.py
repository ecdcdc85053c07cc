from __future__ import annotations

from onnx.parser import parse_model

from onnxq.graph import Model
from onnxq.report.html import Box
from onnxq.report.pages.model_graph import model_graph


def _graph(text):
    model = Model(parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}'))
    boxes, edges = model_graph(model, lambda node: Box(node.name, node.op))
    return [box.name for box in boxes], {(boxes[a].name, boxes[b].name) for a, b in edges}


def test_conversions_are_seen_through():
    names, edges = _graph("""
        g (float[4] x) => (float[4] y)
        <float s = {1.0}, uint8 z = {0}, float[4] w = {1, 2, 3, 4}> {
            [q] c = QuantizeLinear (x, s, z)
            [dq] d = DequantizeLinear (c, s, z)
            [wq] wc = QuantizeLinear (w, s, z)
            [wd] wf = DequantizeLinear (wc, s, z)
            [mul] e = Mul (d, wf)
            [q2] f = QuantizeLinear (e, s, z)
            [dq2] h = DequantizeLinear (f, s, z)
            [relu] i = Relu (h)
            [add] y = Add (i, h)
        }
    """)
    assert names == ["x", "mul", "relu", "add", "y"]
    assert edges == {
        ("x", "mul"),
        ("mul", "relu"),
        ("relu", "add"),
        ("mul", "add"),
        ("add", "y"),
    }


def test_every_edge_leads_on():
    model = Model(
        parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        g (float[4] x, float[4] y) => (float[4] z, float[4] x2) {
            [a] p = Add (x, y)
            [b] q = Add (p, p)
            [c] z = Mul (q, x)
            [d] x2 = Identity (x)
        }
    """)
    )
    boxes, edges = model_graph(model, lambda node: Box(node.name, node.op))
    assert len(boxes) == 2 + 4 + 2
    assert all(a < b for a, b in edges)
    assert len(edges) == len(set(edges)) == 8
