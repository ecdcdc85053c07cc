"""One wrong rule must not cost all others: those that change the outputs are found and left out.

`run` takes the joint pass back as a whole where outputs change. Here the rules that had applied
are searched: the shortest row of them, in the order in which they applied, that changes the
outputs ends in a guilty one. It is left out, and the search repeats until nothing changes the
outputs any more. Each rule found costs about log2(rules) trials. Rules that leave an invalid
graph are found in the same way, and those that break a pattern of zeros that the model promises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onnxq.engine import Feed, open_to_compare, runner
from onnxq.errors import InvariantError, ModelError
from onnxq.graph import Model, copy_model, sparse_layers
from onnxq.passes import PassReport, RunResult, apply_passes, run
from onnxq.passes.parity import Reference, difference
from onnxq.pruning.nm import lost_patterns, renew_promises
from onnxq.rules import Simplify
from onnxq.workflow.exact_row import ExactRow, rule_names

MAXIMUM_TRIALS = 30
"""After so many, all rules still suspected are left out."""


def run_row(original: Model, row: ExactRow, samples: Sequence[Feed] | None) -> RunResult:
    """Run a row on a copy of `original`, without the rules that must not have applied.

    Args:
        original: The model; it is not changed.
        row: The passes.
        samples: Inputs to compare on; made up from the declared shapes if there are none.

    Returns:
        As of `run`. Each rule withdrawn has a report of its own, which says why.

    Raises:
        InvariantError: if something else than a rule left an invalid graph.
        PreconditionError: if a pass cannot work on this model at all.
    """
    outcome = _run_valid(original, row, samples)
    promised = sparse_layers(original)
    if not promised:
        return outcome
    lost = lost_patterns(original, outcome.model)
    if lost:
        outcome = _run_keeping(original, row, samples, applied_rules(outcome.reports))
    renew_promises(outcome.model, promised, (node.name for node in original.nodes))
    return outcome


def _run_keeping(
    original: Model, row: ExactRow, samples: Sequence[Feed] | None, suspects: Sequence[str]
) -> RunResult:
    """Run a row without the rules that mix sparse weights with others."""

    def loses(rules: frozenset[str]) -> str:
        model = copy_model(original)
        apply_passes(model, row.less(rules).passes)
        return lost_patterns(original, model)

    guilty = find_guilty(suspects, lambda rules: bool(loses(rules)))
    reasons = {rule: f"it broke a pattern: {loses(guilty - {rule})}" for rule in sorted(guilty)}
    return with_withdrawals(_run_valid(original, row.less(guilty), samples), reasons)


def _run_valid(original: Model, row: ExactRow, samples: Sequence[Feed] | None) -> RunResult:
    """Run a row; where it leaves an invalid graph, again without the guilty rules."""
    try:
        return _run_comparing(original, row, samples)
    except InvariantError:
        suspects = [name for name in rule_names() if name not in row.without]
        guilty = find_guilty(suspects, lambda rules: _is_invalid(original, row.less(rules)))
        if not guilty:
            raise
    outcome = _run_comparing(original, row.less(guilty), samples)
    return with_withdrawals(outcome, dict.fromkeys(sorted(guilty), "it left an invalid graph"))


def _is_invalid(original: Model, row: ExactRow) -> bool:
    try:
        apply_passes(copy_model(original), row.passes)
    except InvariantError:
        return True
    return False


def _run_comparing(original: Model, row: ExactRow, samples: Sequence[Feed] | None) -> RunResult:
    """Run a row; where the joint pass changes the outputs, again without the guilty rules."""
    outcome = _run(original, row, samples)
    withdrawn = {index for index, report in enumerate(outcome.reports) if report.withdrawn}
    joint = [i for i in withdrawn if outcome.reports[i].name == Simplify.__name__]
    if not joint:
        return outcome
    suspects = applied_rules([outcome.reports[i] for i in joint])
    reference = Reference(copy_model(original), samples)
    trials = _Trials(original, row, frozenset(withdrawn.difference(joint)), reference)
    guilty = find_guilty(suspects, trials.fail)
    if not guilty:
        return outcome
    reasons = {rule: trials.indict(rule, guilty) for rule in suspects if rule in guilty}
    outcome = _run(original, row.less(guilty), samples)
    return with_withdrawals(outcome, reasons)


def _run(original: Model, row: ExactRow, samples: Sequence[Feed] | None) -> RunResult:
    return run(copy_model(original), row.passes, samples=samples, original=original)


def with_withdrawals(outcome: RunResult, reasons: Mapping[str, str]) -> RunResult:
    """An outcome whose reports also name the rules that were left out, and why."""
    reports = tuple(PassReport(rule, (), 0.0, withdrawn=why) for rule, why in reasons.items())
    return replace(outcome, reports=outcome.reports + reports)


def applied_rules(reports: Sequence[PassReport]) -> list[str]:
    """The rules that applied, in the order in which each did so first."""
    events = (event for report in reports for event in report.applied)
    return list(dict.fromkeys(event.rule for event in events if event.rule))


def find_guilty(
    suspects: Sequence[str],
    fails: Callable[[frozenset[str]], bool],
    maximum: int = MAXIMUM_TRIALS,
) -> frozenset[str]:
    """The rules to leave out so that nothing fails any more.

    Args:
        suspects: The rules, all of which together fail.
        fails: Whether the model is wrong when the given rules are left out.
        maximum: Number of trials after which all suspects count as guilty.

    Returns:
        None of them where leaving out all of them does not help.
    """
    if not suspects or fails(frozenset(suspects)):
        return frozenset()
    trials, guilty = 1, frozenset[str]()
    while not guilty or fails(guilty):
        left = [rule for rule in suspects if rule not in guilty]
        passing, failing = 0, len(left)
        while failing - passing > 1 and trials < maximum:
            middle = (passing + failing) // 2
            if fails(frozenset(suspects) - frozenset(left[:middle])):
                failing = middle
            else:
                passing = middle
            trials += 1
        if trials >= maximum:
            return frozenset(suspects)
        guilty |= {left[failing - 1]}
        trials += 1
    return guilty


@dataclass(frozen=True)
class _Trials:
    """Variants of one row, tried on copies of a model.

    Attributes:
        original: The model.
        row: The row.
        skipped: Places of passes that were withdrawn for reasons of their own.
        reference: The outputs of the model.
    """

    original: Model
    row: ExactRow
    skipped: frozenset[int]
    reference: Reference

    def fail(self, without: frozenset[str]) -> bool:
        """Whether the row changes the outputs when these rules are left out."""
        try:
            return self.reference.error(self._variant(without)) > self.reference.tolerance
        except InvariantError:
            return True

    def indict(self, rule: str, guilty: frozenset[str]) -> str:
        """What a rule does, alone among the guilty."""
        model = self._variant(guilty - {rule})
        output, error = worst_output(self.original, model, self.reference.feeds)
        if not output:
            return "its result did not run"
        if error <= self.reference.tolerance:
            return "it changed the outputs together with other rules"
        return f"it changed output '{output}' by {error:.1e}, relatively"

    def _variant(self, without: frozenset[str]) -> Model:
        passes = self.row.less(without).passes
        model = copy_model(self.original)
        apply_passes(model, [p for i, p in enumerate(passes) if i not in self.skipped])
        return model


def worst_output(before: Model, after: Model, feeds: Sequence[Feed]) -> tuple[str, float]:
    """The output that differs most, and by how much relative to its largest value.

    No name and an infinite error where `after` does not run.
    """
    try:
        expected, found = _outputs(before, feeds), _outputs(after, feeds)
    except ModelError:
        return "", float("inf")
    errors = {
        name: max(difference(a[name], b.get(name)) for a, b in zip(expected, found, strict=True))
        for name in expected[0]
    }
    worst = max(errors, key=lambda name: errors[name], default="")
    return worst, errors.get(worst, 0.0)


def _outputs(model: Model, feeds: Sequence[Feed]) -> list[Mapping[str, Any]]:
    run_once = runner(open_to_compare(model))
    return [run_once(feed) for feed in feeds]
