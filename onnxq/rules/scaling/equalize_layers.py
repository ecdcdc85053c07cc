"""Cross-layer equalization: channels between two layers get factors of their own.

    W₂·f(W₁·x + b₁) = (W₂·s)·f((W₁·x + b₁)/s)        f(x/s) = f(x)/s, s > 0 per channel

(Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction").
So that one scale fits all channels of a tensor, or of a weight, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Model
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.scaling.applying import Factors, apply_site
from onnxq.rules.scaling.sites import Site, find_sites


@dataclass(frozen=True)
class EqualizeLayers:
    """Divide tensors between layers by factors per channel.

    Attributes:
        factors: What the channels of each site are divided by, by the site's name; see
            `choose_factors` (from statistics) and `balance_weights` (from weights alone).
    """

    factors: Mapping[str, Factors]
    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Scale every site that has factors; refuse those that cannot take them."""
        yield from apply_factors(model, find_sites(model), self.factors)


def apply_factors(
    model: Model, sites: list[Site], factors: Mapping[str, Factors]
) -> Iterator[Event]:
    """Divide the sites by the factors given for them."""
    free = {site.name: site for site in sites if site.count}
    held = {site.name: site.reason for site in sites if not site.count}
    for name, values in factors.items():
        site = free.get(name)
        if site is None:
            yield Refused(name, held.get(name) or "no layer reads this tensor")
            continue
        reason = _unfit(site, values) or apply_site(model, site, values)
        if reason:
            yield Refused(name, reason)
        else:
            spread = values.max() / values.min()
            yield Applied(name, f"{site.count} channels were scaled, by factors {spread:.3g} apart")


def _unfit(site: Site, factors: Factors) -> str:
    """Why factors do not fit a site, or nothing."""
    if factors.shape != (site.count,):
        return f"there are factors of shape {factors.shape} for {site.count} channels"
    if not (np.isfinite(factors).all() and (factors > 0.0).all()):
        return "a factor is not a positive number"
    return ""
