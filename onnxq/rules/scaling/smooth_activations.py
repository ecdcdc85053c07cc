"""Activation smoothing: what makes activations hard to quantize goes over into the weights.

    W·x = (W·s)·(x/s)        s > 0 per channel

(Xiao et al. 2022, "SmoothQuant"). Where x is the result of a layer, a normalisation or a Mul by
a constant that nobody else looks at, the division costs nothing. Where it is not (a GELU
writes x, or a residual Add reads it too), a Mul is inserted in front of the layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Model, sort
from onnxq.passes import Event
from onnxq.rules.scaling.applying import Factors
from onnxq.rules.scaling.equalize_layers import apply_factors
from onnxq.rules.scaling.sites import find_sites


@dataclass(frozen=True)
class SmoothActivations:
    """Divide the inputs of layers by factors per channel, with a Mul where nothing else will do.

    Attributes:
        factors: What the channels of each site are divided by, by the site's name; see
            `choose_factors`.
    """

    factors: Mapping[str, Factors]
    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Scale every site that has factors; refuse those that cannot take them."""
        yield from apply_factors(model, find_sites(model, insert=True), self.factors)
        sort(model.graph)
