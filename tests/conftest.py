"""What the tests of several rooms share: running models, comparing them, applying passes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.parser import parse_model

from onnxq.engine import open_session, runner
from onnxq.errors import ModelError
from onnxq.graph import Model, load
from onnxq.passes import Pass, PassReport, apply_passes

Outputs = dict[str, Any]
RunModel = Callable[..., Outputs]
AssertSame = Callable[..., None]

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


def _session(proto: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    # Unoptimized, so that the engine's own fusions do not hide a difference.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])


def _feed(session: ort.InferenceSession, seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    feed = {}
    for value in session.get_inputs():
        shape = [d if isinstance(d, int) else 2 for d in value.shape]
        dtype = _TYPES[value.type]
        if np.dtype(dtype).kind == "f":
            feed[value.name] = generator.standard_normal(shape).astype(dtype)
        else:
            feed[value.name] = generator.integers(0, 2, shape).astype(dtype)
    return feed


@pytest.fixture(scope="session")
def run_model() -> RunModel:
    """Run a ModelProto in ONNX Runtime itself: outputs by name."""

    def run(
        proto: onnx.ModelProto, feed: Mapping[str, np.ndarray] | None = None, *, seed: int = 0
    ) -> Outputs:
        session = _session(proto)
        names = [o.name for o in session.get_outputs()]
        given = _feed(session, seed) if feed is None else dict(feed)
        return dict(zip(names, session.run(names, given), strict=True))

    return run


@pytest.fixture(scope="session")
def assert_same(run_model: RunModel) -> AssertSame:
    """Assert that two models give the same outputs on random inputs."""

    def check(
        before: onnx.ModelProto,
        after: onnx.ModelProto,
        feed: Mapping[str, np.ndarray] | None = None,
        *,
        seeds: int = 2,
        rtol: float = 1e-5,
        atol: float = 1e-6,
    ) -> None:
        onnx.checker.check_model(after)
        for seed in range(seeds):
            expected = run_model(before, feed, seed=seed)
            found = run_model(after, feed, seed=seed)
            assert expected.keys() == found.keys()
            for name, value in expected.items():
                assert found[name].dtype == value.dtype, name
                np.testing.assert_allclose(found[name], value, rtol, atol, err_msg=name)

    return check


@dataclass(frozen=True)
class Outcome:
    """A model before and after one pass, and what the pass said."""

    before: onnx.ModelProto
    model: Model
    report: PassReport

    @property
    def after(self) -> onnx.ModelProto:
        return self.model.to_proto()

    @property
    def ops(self) -> list[str]:
        return [node.op for node in self.model.nodes]

    @property
    def applied(self) -> list[str]:
        return [event.what for event in self.report.applied]

    @property
    def refused(self) -> list[str]:
        return [event.reason for event in self.report.refused]


@pytest.fixture
def applying(assert_same: Callable[..., None]) -> Callable[..., Outcome]:
    """Apply a pass: the source stays, outputs stay, and a second time changes nothing."""

    def apply(
        source: str | onnx.ModelProto, one: Pass, *, runs: bool = True, **tolerance: float
    ) -> Outcome:
        before = parse_model(source) if isinstance(source, str) else source
        content = before.SerializeToString(deterministic=True)
        model = load(before)
        (report,) = apply_passes(model, [one])
        outcome = Outcome(before, model, report)
        assert before.SerializeToString(deterministic=True) == content
        after = outcome.after
        if not report.applied:
            assert after.SerializeToString(deterministic=True) == content
        if runs:
            assert_same(before, after, **tolerance)
        (again,) = apply_passes(model, [one])
        assert not again.applied, "a second time there is nothing left to do"
        assert model.to_proto().SerializeToString(deterministic=True) == after.SerializeToString(
            deterministic=True
        )
        return outcome

    return apply


@dataclass(frozen=True)
class OperatorCase:
    """A test case of one operator, and what the engine makes of its inputs."""

    name: str
    model: onnx.ModelProto
    inputs: list[Any]
    expected: Outputs


_RANDOM = ("bernoulli", "training_dropout")
"""Words in the names of cases whose outputs are random."""


@pytest.fixture(scope="session")
def run_on() -> Callable[[onnx.ModelProto, list[Any]], Outputs | None]:
    """What the engine makes of a model and its inputs in order; None if it cannot."""

    def run(proto: onnx.ModelProto, inputs: list[Any]) -> Outputs | None:
        try:
            session = open_session(proto, threads=1)
            names = [value.name for value in session.get_inputs()]
            return dict(runner(session)(dict(zip(names, inputs, strict=True))))
        except (ModelError, AttributeError, ValueError):
            return None

    return run


@pytest.fixture(scope="session")
def operator_cases(
    run_on: Callable[[onnx.ModelProto, list[Any]], Outputs | None],
) -> list[OperatorCase]:
    """The operator test cases of ONNX that the engine runs and that are not random."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = [c for c in collect_testcases(None) if c.model]
    runs = []
    for case in found:
        if any(word in case.name for word in _RANDOM):
            continue
        inputs = list(case.data_sets[0][0])
        expected = run_on(case.model, inputs)
        if expected is not None:
            runs.append(OperatorCase(case.name, case.model, inputs, expected))
    return runs
