"""`simplify` end to end: the same outputs, a smaller graph, and nothing hidden."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

import onnxq
import onnxq.rules.simplify as joint
from onnxq.errors import DataError, ModelError, UsageError
from onnxq.passes import Applied
from onnxq.rules import Rule
from onnxq.workflow import exact_row, limits

_HARD_SIGMOID = """
    [shift] a = Add(x, three)
    [clip] b = Clip(a, zero, six)
    [scale] y = Div(b, six)
"""
_BOUNDS = "<float three = {3.0}, float zero = {0.0}, float six = {6.0}>"


def model(body=_HARD_SIGMOID, shape="1,4", constants=_BOUNDS, opset=17):
    return parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]>'
        f"g (float[{shape}] x) => (float[{shape}] y) {constants} {{ {body} }}"
    )


def serialized(proto):
    return proto.SerializeToString(deterministic=True)


def test_the_same_outputs_from_fewer_nodes(assert_same):
    before = model()
    result = onnxq.simplify(before)
    assert_same(before, result.model.to_proto())
    assert result.success and result.changed
    assert (result.before.nodes, result.after.nodes) == (3, 1)
    assert result.after.operators == {"HardSigmoid": 1}
    assert {event.rule for event in result.applied["FuseHardSigmoid"]} == {"FuseHardSigmoid"}
    assert result.parity < 1e-6
    assert result.fidelity["y"].sqnr > 100
    assert result.compared_on == "2 made-up inputs: x [1, 4]"
    assert (len(result.latency.timings), result.timed_on) == (2, "x [1, 4]")
    assert not result.warnings and not result.withdrawn
    assert list(result.seconds) == ["load", "simplify", "measure speed", "compare outputs"]


def test_the_source_is_untouched():
    before = model()
    content = serialized(before)
    onnxq.simplify(before, measure=False)
    loaded = onnxq.load(before)
    onnxq.simplify(loaded, measure=False)
    assert serialized(before) == serialized(loaded.to_proto()) == content


def test_a_second_run_changes_nothing_and_runs_are_alike():
    first, twin = (onnxq.simplify(model(shape="N,4"), measure=False).model for _ in range(2))
    content = serialized(first.to_proto())
    assert serialized(twin.to_proto()) == content
    again = onnxq.simplify(first.to_proto())
    assert not again.changed and again.success
    assert serialized(again.model.to_proto()) == content
    assert again.latency is None
    assert again.timed_on == "not measured: nothing was changed"
    assert (again.parity, again.compared_on) == (0.0, "nothing was changed")


def test_nothing_to_gain_leaves_the_bytes_alone():
    before = model("y = Relu(x)", constants="")
    assert serialized(onnxq.simplify(before).model.to_proto()) == serialized(before)


def test_free_dimensions_are_compared_at_two_sizes():
    result = onnxq.simplify(model(shape="N,4,T"), measure=False)
    assert result.compared_on == "2 made-up inputs: x [2, 4, 32]; x [1, 4, 64]"
    assert result.fidelity["y"].samples == 2
    assert result.timed_on == "not measured: as asked for"


@dataclass(frozen=True)
class FreezeShape(Rule):
    """A lie that only another size than the first reveals: the shape is that of one run."""

    operators: ClassVar = frozenset({"Shape"})

    def rewrite(self, work, node):
        if node.inputs[0].name != "x":
            return None
        frozen = work.constant("frozen", np.asarray([2, 32], np.int64))
        work.substitute(node.outputs[0], work.add("Identity", [frozen], name="kept"))
        return Applied(node.name, "was taken from one run")


def test_what_is_true_of_one_size_only_is_withdrawn(monkeypatch):
    for module in (joint, exact_row):
        monkeypatch.setattr(module, "PHASES", ((FreezeShape(),),))
    body = "s = Shape(x) z = ConstantOfShape(s) y = Add(x, z)"
    result = onnxq.simplify(model(body, "N,T", ""), measure=False)
    assert result.withdrawn.keys() == {"FreezeShape"}
    assert "Shape" in result.after.operators


def test_samples_are_used():
    samples = [{"x": np.full((1, 4), value, np.float32)} for value in (-9.0, 0.0, 9.0)]
    result = onnxq.simplify(model(), samples=samples, measure=False)
    assert result.compared_on == "3 sample(s) of list"
    assert result.fidelity["y"].samples == 3
    limited = onnxq.simplify(model(), samples=samples, limit=2, measure=False)
    assert limited.fidelity["y"].samples == 2


def test_samples_that_do_not_fit():
    with pytest.raises(DataError, match="axis 1 is 5 instead of 4"):
        onnxq.simplify(model(), samples=[np.zeros((1, 5), np.float32)])


def test_samples_on_which_the_model_does_not_run():
    body = "<int64[2] s = {2, 2}>"
    proto = parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[N] x) => (float[2,2] y) '
        f"{body} {{ y = Reshape(x, s) }}"
    )
    with pytest.raises(ModelError, match=r"does not run on these inputs"):
        onnxq.simplify(proto, samples=[{"x": np.zeros(5, np.float32)}])


def test_weights_that_callers_could_override():
    proto = model()
    proto.graph.input.extend(
        onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims)
        for t in proto.graph.initializer
    )
    result = onnxq.simplify(proto, measure=False)
    assert result.after.nodes == 1
    assert result.warnings == (
        "3 weights that callers could override are constants now "
        "(--keep-defaults leaves them as they are)",
    )
    kept = onnxq.simplify(proto, keep_defaults=True, measure=False)
    assert kept.after.nodes == 3
    assert not kept.warnings


def test_bodies_and_foreign_operators_are_named():
    body = (
        "c = Constant<value = bool {1}>()"
        "a = If(c) <then_branch = t () => (float[1,4] p) { p = Neg(x) },"
        " else_branch = e () => (float[1,4] q) { q = Abs(x) }>"
        "b = com.microsoft.Gelu(a) y = Relu(b)"
    )
    proto = parse_model(
        '<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>'
        f"g (float[1,4] x) => (float[1,4] y) {{ {body} }}"
    )
    warnings = onnxq.simplify(proto, measure=False).warnings
    assert warnings[0] == "2 nodes inside bodies (1 If) are left as they are"
    assert warnings[1].startswith("1 nodes of the domain 'com.microsoft' are left as they are")


def test_a_model_of_unknown_operators_is_simplified_unproven():
    proto = parse_model(
        '<ir_version: 8, opset_import: ["": 17, "mine": 1]>'
        f"g (float[1,4] x) => (float[1,4] z) {_BOUNDS} {{ {_HARD_SIGMOID} z = mine.Magic(y) }}"
    )
    result = onnxq.simplify(proto)
    assert result.after.operators == {"HardSigmoid": 1, "mine::Magic": 1}
    assert (result.parity, result.latency) == (None, None)
    assert any("nothing could be compared or timed" in text for text in result.warnings)
    assert result.timed_on == "not measured: the engine does not run the model"


def test_random_models_are_not_compared():
    proto = model(
        f"{_HARD_SIGMOID.replace('y = Div', 'd = Div')} r = RandomNormalLike(x) y = Add(d, r)"
    )
    result = onnxq.simplify(proto, measure=False)
    assert result.parity is None
    assert result.after.operators["HardSigmoid"] == 1
    assert any("other outputs on every run" in text for text in result.warnings)


def test_an_invalid_model_is_refused():
    proto = model("y = Relu(nowhere)", constants="")
    with pytest.raises(ModelError):
        onnxq.simplify(proto)


def test_rules_can_be_left_out():
    result = onnxq.simplify(model(), without=["FuseHardSigmoid"], measure=False)
    assert "FuseHardSigmoid" not in result.applied
    with pytest.raises(
        UsageError, match="no rule 'FuseHardSigmoit'; did you mean 'FuseHardSigmoid'"
    ):
        onnxq.simplify(model(), without=["FuseHardSigmoit"])


def test_inputs_get_the_shapes_asked_for():
    body = "s = Shape(x) z = ConstantOfShape(s) y = Add(x, z)"
    result = onnxq.simplify(model(body, "N,T", ""), input_shapes={"x": (2, 5)}, measure=False)
    assert result.compared_on == "2 made-up inputs: x [2, 5]"
    assert "Shape" not in result.after.operators
    assert [
        d.dim_value for d in result.model.to_proto().graph.input[0].type.tensor_type.shape.dim
    ] == [2, 5]
    with pytest.raises(UsageError, match="input 'x'"):
        onnxq.simplify(model(body, "N,T", ""), input_shapes={"x": (2,)})


def test_the_operator_set_is_raised():
    result = onnxq.simplify(model(opset=13), opset=18, measure=False)
    assert (result.before.opset, result.after.opset) == (13, 18)
    assert result.after.nodes == 1


@pytest.mark.parametrize(
    ("limit", "reason"), [("MANY_NODES", "3 nodes"), ("MANY_BYTES", "0.0 GB of weights")]
)
def test_large_models_are_timed_on_request_only(monkeypatch, limit, reason):
    monkeypatch.setattr(limits, limit, 2)
    result = onnxq.simplify(model())
    assert result.latency is None and result.success
    assert result.timed_on.startswith(f"not measured: {reason}")
    assert result.parity < 1e-6 and not result.fidelity
    assert onnxq.simplify(model(shape="N,4"), measure=True).latency is not None


def test_report_is_plain_json():
    facts = onnxq.simplify(model(), measure=False).to_dict()
    assert json.loads(json.dumps(facts, default=str)).keys() == facts.keys()
    assert facts["version"] == 1
    assert facts["applied"]["FuseHardSigmoid"] == 1
    assert facts["before"]["operators"] == {"Add": 1, "Clip": 1, "Div": 1}


def test_stages_are_announced():
    seen = []
    onnxq.simplify(model(), measure=False, progress=lambda stage, done, total: seen.append(stage))
    assert list(dict.fromkeys(seen)) == ["load", "simplify", "measure speed", "compare outputs"]
