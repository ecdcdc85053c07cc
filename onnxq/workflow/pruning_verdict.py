"""Is a pruned model a success, and what should its user know?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from onnxq.config import Budget, Prune
from onnxq.coupling import Group
from onnxq.measure import Accuracy, Fidelity, Latency
from onnxq.pruning import Rounded
from onnxq.workflow.prune_result import Aim
from onnxq.workflow.pruning_goals import Chosen
from onnxq.workflow.pruning_limits import Bound
from onnxq.workflow.pruning_samples import PruningSamples
from onnxq.workflow.pruning_scores import Scored
from onnxq.workflow.verdict import Finding, Verdict, judge

TOLERANCES: Mapping[str, float] = {"MACs": 0.02, "parameters": 0.02, "latency": 0.05}
"""How far, relatively, what is left may be from what was asked for."""

_POOR = 10.0
"""SQNR in dB below which a warning says that training is called for."""


def judge_pruned(
    budget: Budget,
    aim: Aim | None,
    accuracy: tuple[Accuracy, Accuracy] | None,
    fidelity: Mapping[str, Fidelity],
    latency: Latency | None,
) -> Verdict:
    """Hold the measurements against the goal and the budget.

    How close the outputs are is judged only if the budget says so: what pruning takes, training
    is to bring back.
    """
    speedup = latency.speedups[1] if latency is not None else None
    limited = budget.max_drop is not None or budget.minimum is not None
    findings = judge(budget, accuracy, fidelity, speedup).findings
    kept = tuple(f for f in findings if limited or f.subject != "sqnr")
    reached = () if aim is None else (_reached(aim, latency),)
    return Verdict((*reached, *kept))


def _reached(aim: Aim, latency: Latency | None) -> Finding:
    text = f"{aim.left:.1%} of the {aim.name} remain; {aim.wanted:.1%} were asked for"
    tolerance = TOLERANCES.get(aim.name)
    # Counts of filters are rounded as the engine likes them.
    if tolerance is None or abs(aim.left - aim.wanted) <= tolerance * aim.wanted:
        return Finding(aim.name, passed=True, text=text)
    if aim.name == "latency" and latency is not None:
        ratio = latency.speedups[1]
        low, high = 1.0 / ratio.high, 1.0 / ratio.low
        if low <= aim.wanted * (1.0 + tolerance) and high >= aim.wanted * (1.0 - tolerance):
            noisy = f"{text}; this machine is too busy to tell ({low:.1%} to {high:.1%})"
            return Finding(aim.name, passed=None, text=noisy)
    return Finding(aim.name, passed=False, text=text)


def rounded_groups(
    settings: Prune, groups: Sequence[Group], chosen: Chosen, bounds: Sequence[Bound]
) -> tuple[Rounded, ...]:
    """The groups that keep another number than the even share asked for, or could give nothing."""
    found = []
    for group, kept, bound in zip(groups, chosen.kept, bounds, strict=True):
        counts = bound.limits.kept(group.size)
        if settings.distribution == "even" and settings.ratio is not None:
            wished = round(group.size * (1.0 - settings.ratio))
            if wished != kept:
                found.append(Rounded(group.name, group.size, wished, kept, bound.why))
        elif len(counts) == 1 and counts[0] == group.size and bound.why != "skipped":
            why = f"too few channels for {bound.why}"
            found.append(Rounded(group.name, group.size, group.size - 1, group.size, why))
    return tuple(found)


def warnings_of(
    samples: PruningSamples, fidelity: Mapping[str, Fidelity], scored: Scored, settings: Prune
) -> Iterator[str]:
    """Sentences for the user."""
    if samples.made_up:
        yield (
            "there are no samples: channels were scored by their weights, nothing was repaired, "
            "and what made-up inputs say of the outputs means little"
        )
    elif not settings.repair:
        yield "nothing was repaired, as asked for"
    known = [f.sqnr for f in fidelity.values() if f.sqnr is not None]
    if known and min(known) < _POOR and not samples.made_up:
        yield (
            f"the outputs keep an SQNR of {min(known):.1f} dB only: train the model again "
            "(`onnxq finetune`), or remove less"
        )
    if scored.otherwise:
        yield (
            f"{len(scored.otherwise)} groups were scored by the L2 norm of their weights, since "
            f"`{scored.importance}` says nothing of them: {', '.join(scored.otherwise[:3])}"
            + (" …" if len(scored.otherwise) > 3 else "")
        )
