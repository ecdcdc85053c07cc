"""The configuration: one strict schema, read from YAML, TOML or JSON."""

from onnxq.config.effective import Setting, effective
from onnxq.config.formats import (
    ActivationFormat,
    BlockSize,
    LayerRule,
    Override,
    WeightFormat,
)
from onnxq.config.functions import import_function
from onnxq.config.inputs import Calibration, Evaluate, Preprocessing
from onnxq.config.json_schema import json_schema
from onnxq.config.loading import (
    LoadedConfig,
    load_config,
    parse_config,
    read_config,
    with_command_line,
)
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
from onnxq.config.schema import Budget, Config, Corrections, Effort
from onnxq.config.selectors import Glob, Name, OpType, Regex, Selector
from onnxq.config.template import template
from onnxq.config.writing import config_text

__all__ = [
    "ActivationFormat",
    "Auto",
    "BlockSize",
    "Budget",
    "Calibration",
    "Config",
    "Corrections",
    "Effort",
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
    "Setting",
    "WeightFormat",
    "config_text",
    "effective",
    "import_function",
    "json_schema",
    "load_config",
    "parse_config",
    "read_config",
    "template",
    "with_command_line",
]
