"""Which channels go: their importance, how many of which group, and what makes up for them."""

from onnxq.pruning.consumers import Consumer, Reading, consumer_of, consumers_of, readings_of
from onnxq.pruning.counts import Fixed, Limits, Multiples, Rounded, nearest_kept
from onnxq.pruning.curves import Curve, curve_of
from onnxq.pruning.distribution import Filters, evenly, reachable, spread
from onnxq.pruning.elimination import Layer, Snapshot, eliminate
from onnxq.pruning.importance import (
    ActivationNorm,
    BalancedNorm,
    Criterion,
    Evidence,
    GeometricMedian,
    Magnitude,
    NormScale,
    Taylor,
    Uninformed,
)
from onnxq.pruning.reduction import Reduction
from onnxq.pruning.repair import PairMoments, best_guess, certain
from onnxq.pruning.slices import channel_slices
from onnxq.pruning.solving import Trial, solve
from onnxq.pruning.work import Work, elements, work_of

__all__ = [
    "ActivationNorm",
    "BalancedNorm",
    "Consumer",
    "Criterion",
    "Curve",
    "Evidence",
    "Filters",
    "Fixed",
    "GeometricMedian",
    "Layer",
    "Limits",
    "Magnitude",
    "Multiples",
    "NormScale",
    "PairMoments",
    "Reading",
    "Reduction",
    "Rounded",
    "Snapshot",
    "Taylor",
    "Trial",
    "Uninformed",
    "Work",
    "best_guess",
    "certain",
    "channel_slices",
    "consumer_of",
    "consumers_of",
    "curve_of",
    "elements",
    "eliminate",
    "evenly",
    "nearest_kept",
    "reachable",
    "readings_of",
    "solve",
    "spread",
    "work_of",
]
