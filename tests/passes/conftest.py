"""Apply one pass to a model given as text or proto, and see that nothing changed outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx
import pytest
from onnx.parser import parse_model

from onnxq.graph import Model, load
from onnxq.passes import Pass, PassReport, apply_passes


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
