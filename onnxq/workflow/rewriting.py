"""Exact rewritings that make a float model easier to quantize, chosen from what samples show."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from onnxq.calibration import ChannelStatistics, collect_channels
from onnxq.engine import Feed, open_session, runner
from onnxq.graph import Model, copy_model
from onnxq.passes import (
    PassReport,
    SplitOutliers,
    outlier_sites,
    outlying_channels,
    products_of_outliers,
    run,
)
from onnxq.rules.scaling import EqualizeLayers, SmoothActivations
from onnxq.workflow.rescaling import find_factors


class Rewriting(Enum):
    """A rewriting, by its name in the configuration."""

    SPLIT_OUTLIERS = "split_outliers"
    SMOOTH_ACTIVATIONS = "smooth_activations"
    EQUALIZE_LAYERS = "equalize_layers"


@dataclass(frozen=True)
class Rewritten:
    """A float model that computes the same, rewritten.

    Attributes:
        model: The model.
        float_nodes: Nodes that the rewriting made and that must stay float, with the reason.
        reports: What was done and refused.
    """

    model: Model
    float_nodes: Mapping[str, str] = field(default_factory=dict)
    reports: tuple[PassReport, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was done at all."""
        return any(report.applied for report in self.reports)


def rewrite(before: Rewritten, rewriting: Rewriting, feeds: Sequence[Feed]) -> Rewritten:
    """Rewrite a copy of a model; what changes its outputs is withdrawn.

    Args:
        before: The float model, and what was done to it before. It is not changed.
        rewriting: What to do.
        feeds: Samples that show which channels are large.
    """
    start = replace(before, model=copy_model(before.model))
    return _REWRITERS[rewriting](start, feeds)


def in_order(rewritings: Collection[Rewriting]) -> list[Rewriting]:
    """Rewritings in the order in which they are done."""
    return [rewriting for rewriting in Rewriting if rewriting in rewritings]


def _split_outliers(before: Rewritten, feeds: Sequence[Feed]) -> Rewritten:
    model = before.model
    sites = outlier_sites(model)
    seen = _channels(model, {site.data: (-1,) for site in sites}, feeds)
    channels = {
        site.node.name: found
        for site in sites
        if site.data in seen and (found := outlying_channels(seen[site.data].largest.reshape(-1)))
    }
    if not channels:
        return before
    outcome = run(model, [SplitOutliers(channels)], samples=feeds[:1])
    floats = {**before.float_nodes, **products_of_outliers(outcome.model)}
    return Rewritten(outcome.model, floats, (*before.reports, *outcome.reports))


def _smooth_activations(before: Rewritten, feeds: Sequence[Feed]) -> Rewritten:
    return _scaled(before, feeds, SmoothActivations, insert=True)


def _equalize_layers(before: Rewritten, feeds: Sequence[Feed]) -> Rewritten:
    return _scaled(before, feeds, EqualizeLayers, insert=False)


def _scaled(
    before: Rewritten,
    feeds: Sequence[Feed],
    scaling: type[SmoothActivations | EqualizeLayers],
    *,
    insert: bool,
) -> Rewritten:
    chosen = find_factors(before.model, feeds, insert=insert) if feeds else {}
    if not chosen:
        return before
    factors = {name: found.factors for name, found in chosen.items()}
    outcome = run(before.model, [scaling(factors)], samples=feeds[:1])
    return replace(before, model=outcome.model, reports=(*before.reports, *outcome.reports))


def _channels(
    model: Model, axes: Mapping[str, tuple[int, ...]], feeds: Sequence[Feed]
) -> dict[str, ChannelStatistics]:
    """Statistics of the channels of some tensors of a model."""
    if not axes or not feeds:
        return {}
    twin = copy_model(model)
    variables = twin.variables
    twin.graph.outputs = [variables[name] for name in axes]
    return collect_channels(runner(open_session(twin, spinning=True)), feeds, axes)


_REWRITERS: Mapping[Rewriting, Callable[[Rewritten, Sequence[Feed]], Rewritten]] = {
    Rewriting.SPLIT_OUTLIERS: _split_outliers,
    Rewriting.SMOOTH_ACTIVATIONS: _smooth_activations,
    Rewriting.EQUALIZE_LAYERS: _equalize_layers,
}
