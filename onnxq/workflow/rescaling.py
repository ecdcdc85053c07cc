"""From a float model and samples to the factors that make it easier to quantize."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from onnxq.calibration import ChannelStatistics, collect_channels
from onnxq.engine import Feed, open_session, runner
from onnxq.graph import Model, copy_model
from onnxq.rules.scaling import (
    Chosen,
    Search,
    channel_axes,
    choose_factors,
    find_sites,
)

_FOLDS = 2
"""Factors made from one part of the samples are judged by all."""


def observe_channels(
    model: Model, axes: Mapping[str, tuple[int, ...]], feeds: Sequence[Feed]
) -> tuple[dict[str, ChannelStatistics], ...]:
    """Run `model` over `feeds` and keep statistics of the channels of tensors, in two parts.

    Args:
        model: The float model; it is not changed.
        axes: The axes of each tensor's channels, by tensor name.
        feeds: The samples.

    Raises:
        ModelError: if the model does not run on a sample.
    """
    if not axes:
        return ()
    twin = copy_model(model)
    variables = twin.variables
    twin.graph.outputs = [variables[name] for name in axes]
    # Nothing else runs meanwhile, so spinning threads disturb nobody.
    run = runner(open_session(twin, spinning=True), list(axes))
    parts = [feeds[first::_FOLDS] for first in range(_FOLDS)]
    return tuple(collect_channels(run, part, axes) for part in parts if part)


def find_factors(
    model: Model,
    feeds: Sequence[Feed],
    *,
    insert: bool = True,
    quantized: Collection[str] = (),
    search: Search | None = None,
) -> dict[str, Chosen]:
    """Factors for `SmoothActivations` (or, without `insert`, for `EqualizeLayers`), by site.

    Args:
        model: The prepared float model; it is not changed.
        feeds: The samples; 32 show what outlying channels reach.
        insert: Consider sites too that need a Mul inserted.
        quantized: Tensors that are quantized besides those that layers read, by name.
        search: How factors are looked for.

    Raises:
        ModelError: if the model does not run on a sample.
    """
    sites = [site for site in find_sites(model, insert=insert) if site.count]
    folds = observe_channels(model, channel_axes(sites, quantized), feeds)
    return choose_factors(sites, folds, quantized, search)
