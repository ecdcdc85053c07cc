"""`quantize` from Python: sources of samples, ranges kept, and models out of the ordinary."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxq import Config, Ranges, quantize
from onnxq.calibration import Range
from onnxq.errors import DataError, UsageError
from onnxq.measure import RunsInInteger
from onnxq.plan import Float
from onnxq.workflow import RANDOM_WARNING, plan_only

CONV = "Conv<kernel_shape=[3,3], pads=[1,1,1,1]>"
MIN_MAX = {"calibration": {"method": "min-max"}, "effort": "quick"}
QUICK = Config(effort="quick")


def config(**settings: object) -> Config:
    return Config.model_validate({**MIN_MAX, **settings})


class Reader:
    """The interface of ONNX Runtime's CalibrationDataReader."""

    def __init__(self, samples):
        self.samples = iter(samples)

    def get_next(self):
        return next(self.samples, None)


def npz(samples, folder):
    path = folder / "samples.npz"
    np.savez(path, x=np.concatenate([s["x"] for s in samples]))
    return path


SOURCES = {
    "path": npz,
    "text": lambda samples, folder: str(npz(samples, folder)),
    "dicts": lambda samples, folder: samples,
    "arrays": lambda samples, folder: [s["x"] for s in samples],
    "generator": lambda samples, folder: (s for s in samples),
    "reader": lambda samples, folder: Reader(samples),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_of_samples_gives_the_same_ranges(name, network, samples, tmp_path):
    source = SOURCES[name](samples, tmp_path)
    result = quantize(network, calibration=source, config=config(), verify=False)
    # Every fifth of ten samples is held out of calibration.
    used = np.concatenate([s["x"] for i, s in enumerate(samples) if i % 5 != 4])
    assert result.ranges.ranges["x"] == Range(float(used.min()), float(used.max()))
    assert result.ranges.samples == 8


def test_a_generator_that_reuses_its_buffer(network, samples):
    def reusing():
        buffer = np.empty((1, 4, 8, 8), np.float32)
        for sample in samples:
            buffer[...] = sample["x"]
            yield {"x": buffer}

    first = quantize(network, calibration=reusing(), config=QUICK)
    second = quantize(network, calibration=samples, config=QUICK)
    assert first.fidelity == second.fidelity
    assert first.trials == second.trials


def test_the_model_given_is_not_changed(network, samples):
    content = network.SerializeToString(deterministic=True)
    quantize(network, calibration=samples)
    assert network.SerializeToString(deterministic=True) == content


def test_the_result_is_proven(network, samples):
    result = quantize(network, calibration=samples, config=config(budget={"min_speedup": None}))
    assert result.success
    assert result.judged_on == "2 samples held out from calibration"
    assert result.fidelity["y"].sqnr > 30
    assert result.parity is not None
    assert result.parity <= 1e-5
    assert all(isinstance(g, RunsInInteger) for g in result.placement.groups.values())
    assert set(result.placement.groups) == {"c1", "c2"}
    assert 2 * 4 * 4 * 9 <= result.sizes.by_dtype["int8"] < 2 * 4 * 4 * 9 + 10
    assert result.macs == (2 * 64 * 4 * 4 * 9, 1.0)
    assert result.latency is not None
    onnx.checker.check_model(result.model.to_proto(), full_check=True)


def test_the_report_is_json(network, samples):
    import json

    result = quantize(network, calibration=samples, config=QUICK)
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["success"] == result.success
    assert Ranges.from_dict(data["ranges"]) == result.ranges


def test_held_out_samples_never_calibrate(network, samples):
    loud = [dict(s) for s in samples]
    for index in (4, 9):
        loud[index] = {"x": loud[index]["x"] * 1000}
    result = quantize(network, calibration=loud, config=config(), verify=False)
    assert result.ranges.ranges["x"].high < 3


def test_with_few_samples_all_calibrate_and_the_report_says_so(network, samples):
    result = quantize(network, calibration=samples[:3], config=config())
    assert result.ranges.samples == 3
    assert result.judged_on == "3 samples that also calibrated"


def test_evaluation_data_leave_all_samples_to_calibration(network, samples, tmp_path):
    evaluate = {"data": str(npz(samples[:2], tmp_path))}
    result = quantize(network, calibration=samples, config=config(evaluate=evaluate))
    assert result.ranges.samples == 10
    assert result.judged_on.startswith("evaluation data")


def test_auto_keeps_the_trial_with_the_best_outputs(network, samples):
    outlier = [dict(s) for s in samples]
    outlier[0] = {"x": outlier[0]["x"].copy()}
    outlier[0]["x"][0, 0, 0, 0] = 500
    result = quantize(network, calibration=outlier, config=QUICK, verify=False)
    ranges = [t for t in result.trials if t.step == "ranges of activations"]
    assert len(ranges) == 2
    (taken,) = (t for t in ranges if t.taken)
    assert taken.sqnr == max(t.sqnr for t in ranges)
    assert result.ranges.methods["x"] == taken.choice
    again = quantize(network, calibration=outlier, config=QUICK, verify=False)
    assert again.trials == result.trials
    assert again.model.digest() == result.model.digest()


def test_one_method_is_taken_without_trials(network, samples):
    result = quantize(network, calibration=samples, config=config(), verify=False)
    assert result.trials == ()
    assert result.recipe.method.kind == "min-max"


def test_ranges_are_used_again(network, samples, tmp_path):
    first = quantize(network, calibration=samples, config=config(), verify=False)
    kept = Ranges.load(first.ranges.save(tmp_path / "ranges.json"))
    second = quantize(network, ranges=kept, config=config())
    assert second.model.digest() == first.model.digest()
    assert second.judged_on == "one made-up input"
    third = quantize(network, ranges=kept, calibration=samples, config=config())
    assert third.judged_on == "8 samples that also calibrated"


def test_ranges_of_another_model_are_refused(network, samples):
    kept = quantize(network, calibration=samples, config=config(), verify=False).ranges
    other = onnx.ModelProto()
    other.CopyFrom(network)
    weight = onnx.numpy_helper.to_array(other.graph.initializer[0]) * np.float32(2)
    other.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "w1"))
    with pytest.raises(DataError, match="belong to another model"):
        quantize(other, ranges=kept, config=config())


def test_without_samples_there_is_an_error_with_a_way_out(network):
    with pytest.raises(UsageError, match=r"no calibration data.*--calibration PATH"):
        quantize(network)
    with pytest.raises(DataError):
        quantize(network, calibration=[])


def test_made_up_samples_are_said_to_be_so(network):
    result = quantize(network, config=config(calibration={"random": True, "samples": 4}))
    assert RANDOM_WARNING in result.warnings
    assert result.ranges.samples == 4
    assert result.ranges.feeds == "made-up inputs"


def branches(then_body: str, shape: str = "1,4,8,8"):
    """A model whose If takes a convolution or not."""
    text = f"""<ir_version: 8, opset_import: ["": 17]>
        g (bool c, float[{shape}] x) => (float[{shape}] y) {{
          [c1] a = {CONV}(x, w)
          [choice] b = If (c) <
            then_branch = then_graph () => (float[{shape}] p) {{ {then_body} }},
            else_branch = else_graph () => (float[{shape}] q) {{ q = Abs(a) }}>
          [c2] y = {CONV}(b, w)
        }}"""
    proto = onnx.parser.parse_model(text)
    weight = np.random.default_rng(0).standard_normal((4, 4, 3, 3)).astype(np.float32) / 6
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    return proto


def test_bodies_of_control_flow_stay_float_and_run(samples):
    proto = branches(f"p = {CONV}(a, w)")
    feeds = [{"c": np.array(i % 2 == 0), **s} for i, s in enumerate(samples)]
    result = quantize(proto, calibration=feeds, config=config())
    assert isinstance(result.plan.nodes["choice"], Float)
    assert list(result.plan.integer_nodes) == ["c1", "c2"]
    assert result.fidelity["y"].sqnr > 20


def test_a_tensor_without_a_value_stays_float(model_of):
    proto = model_of(
        "float[n,4] x",
        "float[n,4] y, float[m,4] z",
        "[m1] y = MatMul(x, w) [none] e = Slice(x, zero, zero) [m2] z = MatMul(e, w)",
        {"w": (4, 4), "zero": np.array([0], np.int64)},
    )
    feeds = [{"x": np.ones((3, 4), np.float32)}] * 2
    result = quantize(proto, calibration=feeds, config=config())
    assert result.plan.nodes["m2"] == Float("calibration saw no value of it")
    assert "'e' stays float: calibration saw no value of it" in result.warnings
    assert "m1" in result.plan.integer_nodes


@pytest.mark.parametrize("method", ["min-max", "percentile", "auto"])
@pytest.mark.parametrize(
    ("op", "value", "why"),
    [
        ("Sqrt", -1.0, "1 NaN or infinite values"),
        ("Reciprocal", 0.0, "1 NaN or infinite values"),
        ("Identity", -3.4e38, "values near the largest float"),
    ],
)
@pytest.mark.parametrize("place", [0, 100, 255])
def test_tensors_with_nan_or_masks_stay_float(method, op, value, why, place, model_of):
    proto = model_of(
        "float[1,4,8,8] x",
        "float[1,4,8,8] y, float[1,4,8,8] z",
        f"[f] a = {op}(x) [c1] y = {CONV}(a, w) [s] b = Sigmoid(x) [c2] z = {CONV}(b, w)",
        {"w": (4, 4, 3, 3)},
    )
    feeds = [{"x": np.full((1, 4, 8, 8), 1 + i, np.float32)} for i in range(4)]
    feeds[2]["x"].reshape(-1)[place] = value
    settings = Config.model_validate({"calibration": {"method": method}, "effort": "quick"})
    result = quantize(proto, calibration=feeds, config=settings, verify=False)
    assert why in result.plan.nodes["c1"].reason
    assert {"'y'"} < {w.split()[0] for w in result.warnings if "stays float" in w}
    assert list(result.plan.integer_nodes) == ["c2"]
    reused = quantize(proto, ranges=result.ranges, config=settings, verify=False)
    assert reused.plan.nodes["c1"] == Float("calibration could not tell its range")
    assert reused.plan.activations == result.plan.activations


def test_nothing_to_quantize_gives_the_prepared_model(model_of, run_model):
    proto = model_of("float[1,4] x", "float[1,4] y", "[t] y = Tanh(x)")
    feeds = [{"x": np.ones((1, 4), np.float32)}] * 6
    result = quantize(proto, calibration=feeds)
    assert "nothing can run in integers: the result is the prepared model" in result.warnings
    assert [n.op for n in result.model.nodes] == ["Tanh"]
    assert result.fidelity["y"].max_error == 0
    assert not result.plan.activations


def test_a_quantized_model_is_not_quantized_twice(network, samples):
    once = quantize(network, calibration=samples, config=config(), verify=False)
    twice = quantize(once.model.to_proto(), calibration=samples, config=config())
    assert not twice.plan.integer_nodes
    assert [n.op for n in twice.model.nodes] == [n.op for n in once.model.nodes]
    assert twice.fidelity["y"].max_error == 0
    assert any("nothing can run in integers" in w for w in twice.warnings)


@pytest.mark.parametrize("opset", [9, 11, 12])
def test_old_operator_sets_are_upgraded(opset, model_of, samples):
    clip = "Clip<min=0.0, max=6.0>(a)" if opset < 11 else "Clip(a, zero, six)"
    bounds = {"zero": np.zeros((), np.float32), "six": np.full((), 6, np.float32)}
    proto = model_of(
        "float[1,4,8,8] x",
        "float[1,4] y",
        f"[c1] a = {CONV}(x, w1, b1) [k] b = {clip} [c2] d = {CONV}(b, w2)"
        "[p] e = GlobalAveragePool(d) [f] h = Flatten(e) [g] y = Gemm(h, w3, b1)",
        {
            "w1": (4, 4, 3, 3),
            "b1": (4,),
            "w2": (4, 4, 3, 3),
            "w3": (4, 4),
            **({} if opset < 11 else bounds),
        },
        opset,
    )
    result = quantize(proto, calibration=samples, config=config())
    assert result.model.opset == 13
    assert list(result.plan.integer_nodes) == ["c1", "c2", "p", "f", "g"]
    assert all(isinstance(g, RunsInInteger) for g in result.placement.groups.values())
    assert result.fidelity["y"].sqnr > 25


@pytest.mark.parametrize("bits", [4, 16])
def test_formats_of_operator_set_21(bits, network, samples):
    result = quantize(network, calibration=samples, config=config(weights={"bits": bits}))
    assert result.model.opset == 21
    assert result.fidelity["y"].sqnr > 10


def test_half_precision_stays_float(model_of):
    proto = model_of(
        "float16[1,4] x",
        "float16[1,4] y",
        "[m] y = MatMul(x, w)",
        {"w": np.eye(4, dtype=np.float16)},
    )
    feeds = [{"x": np.ones((1, 4), np.float16)}] * 3
    result = quantize(proto, calibration=feeds, config=config())
    assert not result.plan.integer_nodes
    assert "float16" in result.plan.nodes["m"].reason


def test_half_precision_weights_of_a_float_model_are_quantized(model_of):
    proto = model_of(
        "float[1,4] x",
        "float[1,4] y",
        "[k] v = Cast<to=1>(w) [m] y = MatMul(x, v)",
        {"w": np.eye(4, dtype=np.float16)},
    )
    feeds = [{"x": np.ones((1, 4), np.float32)}] * 3
    result = quantize(proto, calibration=feeds, config=config())
    assert list(result.plan.integer_nodes) == ["m"]


def test_bfloat16_is_refused_or_stays_float():
    weight = helper.make_tensor("w", TensorProto.BFLOAT16, [2, 2], [1, 0, 0, 1])
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["w"], ["v"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["x", "v"], ["y"], name="m"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [weight],
    )
    proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    result = quantize(proto, calibration=[np.ones((1, 2), np.float32)] * 3, config=config())
    assert list(result.plan.integer_nodes) == ["m"]


def test_plan_only_decides_as_quantize_does(network, samples):
    plan, model = plan_only(network, config())
    result = quantize(network, calibration=samples, config=config(), verify=False)
    assert plan == result.plan
    assert model.digest() == plan.model


def test_progress_tells_the_stages(network, samples):
    seen = []
    quantize(
        network,
        calibration=samples,
        config=QUICK,
        progress=lambda stage, done, total: seen.append((stage, done, total)),
    )
    stages = list(dict.fromkeys(stage for stage, _, _ in seen))
    assert stages == [
        "prepare",
        "calibrate",
        "choose a recipe",
        "quantize",
        "verify",
        "measure speed",
    ]
    assert ("calibrate", 8, 8) in seen
