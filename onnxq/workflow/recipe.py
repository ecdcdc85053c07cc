"""A recipe: everything that may be chosen freely when a model is quantized, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxq.calibration import describe
from onnxq.config import MinMax, RangeMethod


@dataclass(frozen=True)
class Recipe:
    """One way of quantizing a model. Equal recipes give equal files.

    Attributes:
        method: How ranges of activations are found.
        weight_search: Choose weight scales for the least squared error, not to cover the
            largest weight.
        integer_activations: Let HardSwish and its like run in integers, where they can.
        returned: Nodes that stay float for the sake of accuracy or speed, with the reason.
    """

    method: RangeMethod = field(default_factory=MinMax)
    weight_search: bool = False
    integer_activations: bool = True
    returned: Mapping[str, str] = field(default_factory=dict)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The recipe in words."""
        facts = [
            ("ranges of activations", describe(self.method)),
            ("scales of weights", "least squared error" if self.weight_search else "min-max"),
        ]
        if self.returned:
            facts.append(("returned to float", f"{len(self.returned)} layers"))
        return facts
