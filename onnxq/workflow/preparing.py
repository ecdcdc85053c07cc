"""What is done to a float model before anything is quantized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnxq.config import Config
from onnxq.engine import Feed
from onnxq.errors import PreconditionError
from onnxq.graph import Model, copy_model
from onnxq.passes import Pass, PassReport, RunResult, UpgradeOpset
from onnxq.plan import make_plan
from onnxq.rules import EXPANSION
from onnxq.targets import Target
from onnxq.workflow.exact_row import ExactRow
from onnxq.workflow.keeping_layers import merging_rules
from onnxq.workflow.withdrawing import run_row, with_withdrawals

_ROW = ExactRow(
    # What these rules spell out, integers could not hold.
    without=frozenset(type(rule).__name__ for rule in EXPANSION),
    widen_weights=True,
)

EXACT_PASSES: tuple[Pass, ...] = _ROW.passes


@dataclass(frozen=True)
class Prepared:
    """A float model made ready to be quantized.

    Attributes:
        model: Simplified exactly, and on the operator set that the target needs.
        reports: What every pass did and refused.
        parity: Largest relative error of the outputs, None if it could not be measured.
    """

    model: Model
    reports: tuple[PassReport, ...]
    parity: float | None


def make_ready(
    original: Model, target: Target, config: Config, samples: Sequence[Feed] | None
) -> Prepared:
    """Prepare a copy of a model for a target; the outputs are compared on `samples`, if any.

    Raises:
        PreconditionError: if the operator set cannot be raised.
        ConfigError: if a selector of the configuration matches nothing.
    """
    model = copy_model(original)
    outcomes = [prepare(model, samples, config, target)]
    opset = make_plan(model, target, config).opset
    if opset > model.opset:
        outcomes.append(upgrade(model, opset, samples, config, target))
    errors = [outcome.parity for outcome in outcomes if outcome.parity is not None]
    reports = tuple(report for outcome in outcomes for report in outcome.reports)
    return Prepared(model, reports, max(errors, default=None))


def prepare(
    model: Model, samples: Sequence[Feed] | None, config: Config, target: Target
) -> RunResult:
    """Run the exact passes on `model` in place and compare the outputs on `samples`.

    Rules that change the outputs, or merge layers that the configuration names, are withdrawn; the
    reports name them.
    """
    model.keep_node_names()
    return _taken(model, _keeping_layers(model, _ROW, samples, config, target))


def upgrade(
    model: Model, opset: int, samples: Sequence[Feed] | None, config: Config, target: Target
) -> RunResult:
    """Raise the operator set of `model` in place, and simplify again: more rules apply then.

    Raises:
        PreconditionError: if the model cannot be converted, or computes something else then.
    """
    before, row = model.opset, replace(_ROW, opset=opset)
    outcome = _taken(model, _keeping_layers(model, row, samples, config, target))
    if model.opset < opset:
        reasons = [r.withdrawn for r in outcome.reports if r.name == UpgradeOpset.__name__]
        raise PreconditionError(
            f"cannot be converted from operator set {before} to {opset}",
            why=f"the conversion was withdrawn: {''.join(reasons)}",
            remedy=f"export the model with opset {opset} or later",
        )
    return outcome


def _keeping_layers(
    model: Model, row: ExactRow, samples: Sequence[Feed] | None, config: Config, target: Target
) -> RunResult:
    """Run a row, and again without the rules that merged layers which the configuration names."""
    outcome = run_row(model, row, samples)
    merging = merging_rules(model, outcome, config, target)
    if not merging:
        return outcome
    return with_withdrawals(run_row(model, row.less(frozenset(merging)), samples), merging)


def _taken(model: Model, outcome: RunResult) -> RunResult:
    """The outcome, as one of `model` itself."""
    model.become(outcome.model)
    return replace(outcome, model=model)
