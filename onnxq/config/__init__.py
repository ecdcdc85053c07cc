"""The configuration: one strict schema, read from YAML, TOML or JSON."""

from onnxq.config.loading import LoadedConfig, load_config, parse_config, read_config
from onnxq.config.methods import (
    Auto,
    Entropy,
    Ifmr,
    Method,
    MinMax,
    MovingAverage,
    Mse,
    Percentile,
    RangeMethod,
)
from onnxq.config.schema import (
    ActivationFormat,
    BlockSize,
    Budget,
    Calibration,
    Config,
    Evaluate,
    LayerRule,
    Override,
    Preprocessing,
    WeightFormat,
)
from onnxq.config.selectors import Glob, Name, OpType, Regex, Selector

__all__ = [
    "ActivationFormat",
    "Auto",
    "BlockSize",
    "Budget",
    "Calibration",
    "Config",
    "Entropy",
    "Evaluate",
    "Glob",
    "Ifmr",
    "LayerRule",
    "LoadedConfig",
    "Method",
    "MinMax",
    "MovingAverage",
    "Mse",
    "Name",
    "OpType",
    "Override",
    "Percentile",
    "Preprocessing",
    "RangeMethod",
    "Regex",
    "Selector",
    "WeightFormat",
    "load_config",
    "parse_config",
    "read_config",
]
