"""Calibration: samples, statistics in bounded memory, and the ranges that follow from them."""

from onnxq.calibration.channel_statistics import (
    ChannelStatistics,
    collect_channels,
    merge_channels,
)
from onnxq.calibration.collection import Progress, Statistics, collect, collect_parallel
from onnxq.calibration.density import Density, density_of
from onnxq.calibration.feeds import Feeds
from onnxq.calibration.methods import (
    RangeRequest,
    describe,
    estimate_ranges,
    needs_histogram,
    range_of,
)
from onnxq.calibration.moments import Moments
from onnxq.calibration.opening import open_feeds
from onnxq.calibration.parameters import activation_parameters
from onnxq.calibration.patches import Padding, Patches, Rows, Vectors, patches_of
from onnxq.calibration.random_feeds import random_feeds
from onnxq.calibration.ranges import Range, Ranges, check_belongs
from onnxq.calibration.statistics import (
    LARGEST_ORDINARY,
    TensorStatistics,
    are_ordinary,
    is_float,
)
from onnxq.calibration.storage import load_statistics, save_statistics
from onnxq.calibration.walking import Walk

__all__ = [
    "LARGEST_ORDINARY",
    "ChannelStatistics",
    "Density",
    "Feeds",
    "Moments",
    "Padding",
    "Patches",
    "Progress",
    "Range",
    "RangeRequest",
    "Ranges",
    "Rows",
    "Statistics",
    "TensorStatistics",
    "Vectors",
    "Walk",
    "activation_parameters",
    "are_ordinary",
    "check_belongs",
    "collect",
    "collect_channels",
    "collect_parallel",
    "density_of",
    "describe",
    "estimate_ranges",
    "is_float",
    "load_statistics",
    "merge_channels",
    "needs_histogram",
    "open_feeds",
    "patches_of",
    "random_feeds",
    "range_of",
    "save_statistics",
]
