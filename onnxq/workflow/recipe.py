"""A recipe: everything that may be chosen freely when a model is quantized, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from onnxq.calibration import describe
from onnxq.config import MinMax, RangeMethod
from onnxq.workflow.rewriting import Rewriting
from onnxq.workflow.rounding_weights import Nearest, RoundingMethod


class Instead(Enum):
    """How single layers or tensors are quantized, where the rest is quantized otherwise."""

    RUN_TIME = "ranges of each run"
    WIDE = "16 bits"


@dataclass(frozen=True)
class Recipe:
    """One way of quantizing a model. Equal recipes give equal files.

    Attributes:
        method: How ranges of activations are found.
        rounding: How weights become integers.
        integer_activations: Let HardSwish and its like run in integers, where they can.
        rewritings: What is done to the float model first.
        dynamic: Let matrix products find the ranges of what they read anew in every run.
        biases: Correct biases for the mean error of their layers.
        returned: Nodes that stay float for the sake of accuracy or speed, with the reason.
        instead: Layers (products with ranges of each run) and tensors (16 bits) that are
            quantized in a way of their own for the sake of accuracy.
    """

    method: RangeMethod = field(default_factory=MinMax)
    rounding: RoundingMethod = field(default_factory=Nearest)
    integer_activations: bool = True
    rewritings: frozenset[Rewriting] = frozenset()
    dynamic: bool = False
    biases: bool = False
    returned: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, Instead] = field(default_factory=dict)

    @property
    def uncorrected(self) -> Recipe:
        """The same without what learns from samples: other numbers, but as fast."""
        return replace(self, biases=False, rounding=Nearest(search=self.rounding.search))

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The recipe in words."""
        facts = [
            ("ranges of activations", describe(self.method)),
            ("scales of weights", "least squared error" if self.rounding.search else "min-max"),
            ("rounding of weights", type(self.rounding).__name__.lower()),
        ]
        if self.biases:
            facts.append(("biases", "corrected for the mean error of their layers"))
        if self.rewritings:
            names = sorted(rewriting.value for rewriting in self.rewritings)
            facts.append(("float model", ", ".join(names).replace("_", " ")))
        if self.dynamic:
            facts.append(("matrix products", "ranges of each run"))
        if self.returned:
            facts.append(("returned to float", f"{len(self.returned)} layers"))
        for kind in Instead:
            count = sum(found is kind for found in self.instead.values())
            if count:
                facts.append((kind.value, f"{count} {_COUNTED[kind]}"))
        return facts


_COUNTED = {Instead.RUN_TIME: "products", Instead.WIDE: "tensors"}
