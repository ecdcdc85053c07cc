"""Factors of channels move between layers, so that integers hold them better."""

from onnxq.rules.scaling.balancing import balance_weights
from onnxq.rules.scaling.choosing import Chosen, Search, choose_factors
from onnxq.rules.scaling.equalize_layers import EqualizeLayers
from onnxq.rules.scaling.sites import Site, channel_axes, find_sites
from onnxq.rules.scaling.smooth_activations import SmoothActivations

__all__ = [
    "Chosen",
    "EqualizeLayers",
    "Search",
    "Site",
    "SmoothActivations",
    "balance_weights",
    "channel_axes",
    "choose_factors",
    "find_sites",
]
