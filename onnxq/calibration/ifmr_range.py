"""AMCT's range search ("Input Feature Map Range"), read from a histogram.

With n values and share p, k = max(1, n - int(p * n)): the search starts from the k-th lowest and
the k-th highest value. Candidates multiply the upper one by start, start + step, ..., end; the
lower one stays, or is the negative of the candidate for symmetric formats. The candidate with
the smallest squared error of quantize and dequantize wins, the smallest among equals.
"""

from __future__ import annotations

import numpy as np

from onnxq.calibration.density import Density
from onnxq.calibration.rounding_error import quantizers, squared_errors
from onnxq.config import Ifmr
from onnxq.quant import Scheme


def ifmr_range(density: Density, scheme: Scheme, method: Ifmr) -> tuple[float, float]:
    """The range that the search finds.

    Args:
        density: The values.
        scheme: The number format.
        method: Where to start and which candidates to try.

    Returns:
        Low (at most 0) and high (at least 0).
    """
    total = density.total
    rank = max(1.0, total - int(method.percentile * total))
    low = min(density.at_rank(rank) if rank > 1 else float(density.left[0]), 0.0)
    high = max(density.at_rank(total - rank) if rank > 1 else float(density.right[-1]), 0.0)
    start = max(-low, high) if scheme.symmetric else high
    if start == 0.0:
        return low, high
    count = max(1, round((method.end - method.start) / method.step) + 1)
    highs = start * (method.start + method.step * np.arange(count))
    lows = -highs if scheme.symmetric else np.full(count, low)
    best = int(np.argmin(squared_errors(density, quantizers(scheme, lows, highs))))
    return float(lows[best]), float(highs[best])
