"""Gates on a small model: what passes, what fails and by how much, and what is skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.parser import parse_model

from onnxq.config import Gates
from onnxq.errors import ConfigError, ModelError
from onnxq.gates import check


def test_an_unchanged_model_passes_everything(place: Path) -> None:
    evaluate = {"data": str(place / "data.npz"), "labels": "labels"}
    every = Gates(
        evaluate=evaluate,
        numerics={"min_sqnr": 90.0, "min_cosine": 1.0, "min_agreement": 1.0},
        accuracy={"max_drop": 0.0},
        size={"max_growth": 0.0},
        parameters={"max_growth": 0.0},
        work={"max_growth": 0.0},
        integers={"max_drop": 0.0},
        lint={},
    )
    result = check(place / "model.onnx", baseline=place / "base.onnx", gates=every)
    assert result.success and result.outcome == "passed"
    assert result.counts["passed"] == len(result.checks) == 22
    assert result.warnings == () == result.failures


def test_nothing_is_asked_without_gates_but_sanity(place: Path) -> None:
    result = check(place / "model.onnx")
    assert {check.gate for check in result.checks} == {"validity", "structure", "numerics"}
    assert result.success
    assert result.counts["skipped"] == 3, "inputs, outputs and extremes need a baseline"
    assert all(c.verdict.remedy for c in result.checks if c.verdict.status == "skipped")


def test_a_warning_does_not_fail(place: Path, failed: Any, run: Any) -> None:
    result = run(place, size={"max_bytes": 10, "severity": "warning"})
    failed(result, "size.bytes", "at most 10 B allowed")
    assert result.success and len(result.warnings) == 1


def test_an_unreadable_model_is_an_error(place: Path, run: Any) -> None:
    (place / "model.onnx").write_bytes(b"\x01")
    with pytest.raises(ModelError):
        run(place)


def test_a_baseline_that_does_not_run_is_an_error(place: Path, run: Any) -> None:
    proto = onnx.load(place / "base.onnx")
    proto.graph.node[1].op_type = "NoSuchOperator"
    onnx.save(proto, place / "base.onnx")
    with pytest.raises(ModelError, match="NoSuchOperator"):
        run(place)


def test_a_model_the_engine_refuses_fails_and_skips_the_rest(
    place: Path, small: Any, failed: Any, one: Any, run: Any, save: Any
) -> None:
    proto = small()
    proto.graph.node[1].op_type = "NoSuchOperator"
    save(place, proto)
    result = run(place, validity={}, numerics={}, size={"max_growth": 0.1}, latency={})
    failed(result, "validity.checker", "NoSuchOperator")
    failed(result, "validity.loads", "NoSuchOperator")
    assert one(result, "numerics.engine").verdict.status == "skipped"
    assert one(result, "latency.engine").verdict.status == "skipped"
    assert one(result, "size.growth").verdict.status == "passed"
    assert result.figures is None and not result.success


@pytest.mark.parametrize(
    ("settings", "title", "text"),
    [
        ({"min_opset": 19}, "validity.opset", "wants 19 or newer: 2 too old"),
        ({"max_opset": 15}, "validity.opset", "allows 15 at most: 2 too new"),
        ({"max_ir": 7}, "validity.ir", "at most 7 allowed: 1 too new"),
    ],
)
def test_versions(
    place: Path, settings: dict[str, int], title: str, text: str, failed: Any, run: Any
) -> None:
    failed(run(place, validity=settings), title, text)


def test_the_targets_opset_counts_for_quantized_models(
    place: Path, failed: Any, run: Any, save: Any
) -> None:
    save(
        place,
        parse_model(
            """
            <ir_version: 5, opset_import: ["" : 10]>
            g (float[N,4,6,6] image) => (float[N,4,6,6] y) <float s = {0.1}, uint8 z = {0}> {
                [q] a = QuantizeLinear (image, s, z)
                [d] y = DequantizeLinear (a, s, z)
            }
            """
        ),
    )
    result = run(place, baseline=None, validity={})
    failed(result, "validity.opset", "operator set 10; target ort-cpu wants 13 or newer: 3 too old")


def test_an_unknown_target_is_a_mistake_in_the_configuration(place: Path, run: Any) -> None:
    with pytest.raises(ConfigError, match="unknown target"):
        run(place, validity={}, target="ort-gpu")


def test_nan_weights(
    place: Path, small: Any, edited: Any, failed: Any, run: Any, save: Any
) -> None:
    proto = small()
    edited(proto, "W", lambda value: value.__setitem__((0, 0, 0), np.nan))
    save(place, proto)
    result = run(place, numerics={})
    failed(result, "numerics.weights", "3 values are NaN, none allowed, in 1 constant: W")
    failed(result, "numerics.samples", "1 of 1 input", "scores has 3 NaN of 3 values")


_FRAGILE = """
<ir_version: 8, opset_import: ["" : 17]>
fragile (float[N,4,6,6] image) => (float[N,4,6,6] y) <float c = {%s}> {
    [first] a = Add (image, c)
    [second] y = Div (image, a)
}
"""


def test_inputs_made_to_provoke(place: Path, failed: Any, one: Any, run: Any, save: Any) -> None:
    save(place, parse_model(_FRAGILE % "0.0"))
    result = run(place, baseline=None, numerics={})
    assert one(result, "numerics.samples").verdict.status == "passed"
    failed(result, "numerics.fills", "1 of 5 inputs", "zeros: y has 144 NaN of 144 values")
    # What the baseline does as well is no fault of the change.
    onnx.save(parse_model(_FRAGILE % "0.0"), place / "base.onnx")
    assert run(place, numerics={}).success
    onnx.save(parse_model(_FRAGILE % "0.5"), place / "base.onnx")
    failed(run(place, numerics={}), "numerics.fills", "zeros: y has 144 NaN")


def test_inputs_for_which_there_is_no_time_are_undecided(place: Path, one: Any, run: Any) -> None:
    result = run(place, numerics={"seconds": 1e-9, "min_sqnr": 20.0})
    verdict = one(result, "numerics.fills").verdict
    assert verdict.status == one(result, "numerics.sqnr").verdict.status == "undecided"
    assert "only 0 of 5 inputs were run in the time given" in verdict.text
    assert result.success


_SQUARES = """
<ir_version: 8, opset_import: ["" : 17]>
squares (float[N,4,6,6] image) => (float[N,4,6,6] y) { [only] y = %s }
"""


def test_extremes_are_held_against_the_baseline(
    place: Path, failed: Any, one: Any, run: Any, save: Any
) -> None:
    save(place, parse_model(_SQUARES % "Mul (image, image)"))
    onnx.save(parse_model(_SQUARES % "Abs (image)"), place / "base.onnx")
    result = run(place, numerics={})
    failed(
        result, "numerics.extremes", "2 of 2 inputs", "highest: y has 144 infinite of 144 values"
    )
    assert one(run(place, baseline=None, numerics={}), "numerics.extremes").verdict.status == (
        "skipped"
    )


def test_a_free_batch_axis_must_be_free(place: Path, failed: Any, run: Any, save: Any) -> None:
    save(
        place,
        parse_model(
            """
            <ir_version: 8, opset_import: ["" : 17]>
            g (float[N,4,6,6] image) => (float[N,144] y) <int64[2] shape = {1, 144}> {
                [fixed] y = Reshape (image, shape)
            }
            """
        ),
    )
    result = run(place, baseline=None, numerics={})
    failed(result, "numerics.batches", "2 of 3 inputs", "N=2: it does not run")


def test_closeness(place: Path, small: Any, failed: Any, run: Any, save: Any) -> None:
    save(place, small(seed=1))
    data = {"data": str(place / "data.npz")}
    limits = {"min_sqnr": 30.0, "min_cosine": 0.99, "min_agreement": 0.95}
    result = run(place, evaluate=data, numerics=limits)
    failed(result, "numerics.sqnr", "at least 30.00 dB asked for", "dB short")
    failed(result, "numerics.cosine", "at least 0.990000 asked for")
    failed(result, "numerics.agreement", "on 16 samples, at least 95 % asked for", "points short")


def test_accuracy(
    place: Path, small: Any, edited: Any, failed: Any, one: Any, run: Any, save: Any
) -> None:
    evaluate = {"data": str(place / "data.npz"), "labels": "labels"}
    before = run(place, evaluate=evaluate, accuracy={"minimum": 0.0})
    assert before.figures is not None and before.figures.score is not None
    score = before.figures.score.value
    with np.load(place / "data.npz") as archive:
        images, labels = archive["image"], archive["labels"]
    from onnxruntime import InferenceSession

    session = InferenceSession(str(place / "model.onnx"))
    assert score == (session.run(None, {"image": images})[0].argmax(1) == labels).mean()
    failed(
        run(place, evaluate=evaluate, accuracy={"minimum": 0.99}),
        "accuracy.score",
        f"top-1 is {score * 100:g} % on 20 samples, at least 99 % asked for",
    )
    proto = small()
    edited(proto, "C", lambda value: value.__setitem__(slice(None), [99.0, 0.0, 0.0]))
    save(place, proto)
    after = float((labels == 0).mean())
    found = one(run(place, evaluate=evaluate, accuracy={"max_drop": 0.0}), "accuracy.drop")
    (drop, value) = found.verdict.figures
    assert drop.value == pytest.approx(score - after) and value.baseline == score
    assert found.verdict.status == ("failed" if after < score else "passed")


def test_an_error_is_better_when_lower(place: Path, one: Any, run: Any) -> None:
    with np.load(place / "data.npz") as archive:
        images = archive["image"]
    np.savez(place / "data.npz", image=images, labels=np.zeros((20, 3), np.float32))
    evaluate = {"data": str(place / "data.npz"), "labels": "labels", "metric": "mse"}
    found = one(run(place, evaluate=evaluate, accuracy={"minimum": 1e-9}), "accuracy.score")
    assert found.verdict.status == "failed" and "at most 1e-09 asked for" in found.verdict.text
    assert run(place, evaluate=evaluate, accuracy={"minimum": 1e9}).success


@pytest.mark.parametrize(
    ("gate", "settings", "title"),
    [
        ("size", {"max_growth": 0.05}, "size.growth"),
        ("parameters", {"max_growth": 0.05}, "parameters.growth"),
        ("work", {"max_growth": 0.05}, "work.macs-growth"),
        ("work", {"max_growth": 0.05}, "work.bit-operations-growth"),
        ("size", {"max_bytes": 100}, "size.bytes"),
        ("parameters", {"max_count": 100}, "parameters.count"),
        ("work", {"max_macs": 100}, "work.macs"),
        ("work", {"max_bit_operations": 100}, "work.bit-operations"),
    ],
)
def test_growth(
    place: Path, small: Any, gate: str, settings: Any, title: str, one: Any, run: Any, save: Any
) -> None:
    proto = small()
    extra = np.eye(8, dtype=np.float32).reshape(8, 8, 1, 1)
    proto.graph.initializer.append(numpy_helper.from_array(extra, "X"))
    proto.graph.node.insert(2, helper.make_node("Conv", ["b", "X"], ["b2"], "more"))
    proto.graph.node[3].input[0] = "b2"
    save(place, proto)
    found = one(run(place, **{gate: settings}), title).verdict
    assert found.status == "failed" and found.text.endswith("too much")
    assert found.figures[0].limit == next(iter(settings.values()))
    assert found.figures[0].excess and found.figures[0].excess > 0


def test_growth_at_the_limit_passes(place: Path, small: Any, run: Any, save: Any) -> None:
    proto = small()
    spare = np.zeros(288 // 8, np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(spare, "spare"))
    save(place, proto)
    before, more = 288 + 8 + 24 + 3, 36
    assert run(place, parameters={"max_growth": more / before}).success
    assert not run(place, parameters={"max_growth": more / before - 1e-6}).success


def test_integers(place: Path, failed: Any, one: Any, run: Any) -> None:
    result = run(place, integers={"min_share": 0.5, "max_drop": 0.1})
    failed(result, "integers.share", "0 % of the multiply-accumulates", "50 points short", "conv")
    assert one(result, "integers.share").verdict.details[0].startswith("conv: its input 'image'")
    assert one(result, "integers.drop").verdict.status == "passed"
