"""Factors from weights alone, for targets with one scale per weight.

With r₁ the range of the weights that write a channel and r₂ of those that read it, the factor
s = √(r₁·r₂)/r₂ makes both ranges √(r₁·r₂) (Nagel et al. 2019, eq. 11). A layer lies between two
sites, so rounds over all sites are repeated until factors no longer change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from onnxq.graph import Constant, read
from onnxq.rules.scaling.applying import Factors, expanded
from onnxq.rules.scaling.flow import Operand
from onnxq.rules.scaling.layers import is_layer
from onnxq.rules.scaling.sites import Site

Sizes: TypeAlias = dict[tuple[int, int], Factors]
"""Absolute weights by node and input."""

_SETTLED = 1e-3
_LARGEST = 1000.0


def balance_weights(
    sites: Sequence[Site], *, rounds: int = 40, power_of_two: bool = True
) -> dict[str, Factors]:
    """Factors that make the weights before and after each site equally large, by site.

    Args:
        sites: The sites.
        rounds: How often all sites are gone through at most.
        power_of_two: Round factors so that results stay the same to the last bit.

    Returns:
        Factors within 1/1000 to 1000; 1 for channels that nothing writes or reads.
    """
    sizes: Sizes = {}
    found = {site.name: np.ones(site.count) for site in sites if site.count}
    for _ in range(rounds):
        steps = [_step(site, found, sizes) for site in sites if site.count]
        if max(steps, default=0.0) < _SETTLED:
            break
    if power_of_two:
        found = {name: 2.0 ** np.rint(np.log2(f)) for name, f in found.items()}
    return {name: f for name, f in found.items() if (f != 1.0).any()}


def _step(site: Site, found: dict[str, Factors], sizes: Sizes) -> float:
    """Balance one site; the largest change of a factor's logarithm."""
    layers = [o for o in site.operands if is_layer(o.node) and o.index == 1]
    written, read_by = (_ranges(site, layers, sizes, e) for e in (-1, 1))
    usable = (written > 0.0) & (read_by > 0.0)
    own = found[site.name]
    wanted = np.ones_like(own)
    wanted[usable] = np.sqrt(written[usable] / read_by[usable])
    wanted = np.clip(own * wanted, 1.0 / _LARGEST, _LARGEST) / own
    found[site.name] = own * wanted
    for operand in layers:
        factor = expanded(wanted, operand.labels)
        size = _size(operand, sizes)
        size *= factor if operand.exponent > 0 else 1.0 / factor
    return float(np.abs(np.log(wanted)).max())


def _ranges(site: Site, layers: Sequence[Operand], sizes: Sizes, exponent: int) -> Factors:
    """Largest weight under each label."""
    found = np.zeros(site.count + 1)
    for operand in layers:
        if operand.exponent == exponent:
            size = _size(operand, sizes)
            np.maximum.at(found, np.broadcast_to(operand.labels, size.shape), size)
    return found[:-1]


def _size(operand: Operand, sizes: Sizes) -> Factors:
    """Absolute weights of a layer, as the factors found so far leave them."""
    key = id(operand.node), operand.index
    if key not in sizes:
        tensor = operand.node.inputs[operand.index]
        assert isinstance(tensor, Constant)
        sizes[key] = np.abs(np.asarray(read(tensor), np.float64))
    return sizes[key]
