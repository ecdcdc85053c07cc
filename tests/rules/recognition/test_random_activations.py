"""All recognition and expansion together on random graphs of activations: outputs stay."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxq.graph import load
from onnxq.passes import Applied
from onnxq.passes.parity import difference
from onnxq.rules import rewrite_all
from onnxq.rules.table import EXPANSION, RECOGNITION

_UNARY = ["Relu", "Abs", "Neg", "Sigmoid", "Tanh", "HardSigmoid", "LeakyRelu", "Elu", "Exp", "Sqrt"]
_SCALAR = ["Mul", "Add", "Sub", "Div", "Max", "Min", "Pow"]
_BINARY = ["Add", "Mul", "Max", "Sub", "Min"]
_VALUES = [0.0, 1.0, -1.0, 3.0, 6.0, 0.5, 1 / 6, 2.0, 0.1]
_RANKS = [(), (1,), (1, 1), (1, 1, 1)]


def _random_model(generator: np.random.Generator) -> onnx.ModelProto:
    shape = [int(n) for n in generator.choice([2, 3, 70], 3)]
    names, nodes, constants = ["x"], [], []
    for index in range(int(generator.integers(4, 14))):
        result = f"t{index}"
        # Recent tensors more often, so that chains form.
        source = names[-1 - min(int(generator.geometric(0.6)) - 1, len(names) - 1)]
        kind = generator.random()
        if kind < 0.35:
            op = str(generator.choice(_UNARY))
            if op in ("Exp", "Sqrt"):
                nodes.append(helper.make_node("Abs", [source], [f"{result}_abs"]))
                nodes.append(helper.make_node("Sigmoid", [f"{result}_abs"], [f"{result}_in"]))
                source = f"{result}_in"
            nodes.append(helper.make_node(op, [source], [result]))
        elif kind < 0.8:
            op, value = str(generator.choice(_SCALAR)), float(generator.choice(_VALUES))
            value = {"Div": value or 2.0, "Pow": 2.0}.get(op, value)
            rank = _RANKS[generator.integers(len(_RANKS))]
            array = np.full(rank, value, np.float32)
            constants.append(numpy_helper.from_array(array, f"c{index}"))
            operands = [source, f"c{index}"]
            if op in ("Mul", "Add", "Sub", "Max", "Min") and generator.random() < 0.4:
                operands.reverse()
            nodes.append(helper.make_node(op, operands, [result]))
        else:
            op = str(generator.choice(_BINARY))
            nodes.append(helper.make_node(op, [source, str(generator.choice(names))], [result]))
        names.append(result)
    kept = {names[-1], *generator.choice(names[1:], 1)}
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in sorted(kept)]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    opset = helper.make_opsetid("", int(generator.choice([8, 11, 13, 18, 20])))
    return helper.make_model(graph, ir_version=8, opset_imports=[opset])


@pytest.mark.parametrize("seed", range(40))
def test_outputs_stay(seed, run_model):
    proto = _random_model(np.random.default_rng(seed))
    model = load(proto)
    events = list(rewrite_all(model, (*RECOGNITION, *EXPANSION)))
    assert not any("undo" in e.reason for e in events if not isinstance(e, Applied))
    after = model.to_proto()
    onnx.checker.check_model(after, full_check=True)
    for run in range(2):
        expected, found = run_model(proto, seed=run), run_model(after, seed=run)
        for name in expected:
            assert difference(expected[name], found[name]) < 2e-5, name
    again = [e for e in rewrite_all(model, (*RECOGNITION, *EXPANSION)) if isinstance(e, Applied)]
    assert not again
