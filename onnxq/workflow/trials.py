"""What was tried on the way to a result, for the report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """One recipe, tried on the whole model.

    Attributes:
        step: What was being chosen: "ranges", "weight scales", ...
        choice: What was tried there.
        sqnr: Mean over the outputs in dB on a few calibration samples; None if not measured.
        speedup: How many times faster than the input; None if not measured.
        taken: Whether the work went on from it.
    """

    step: str
    choice: str
    sqnr: float | None = None
    speedup: float | None = None
    taken: bool = False
