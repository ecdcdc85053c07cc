"""onnxq: make ONNX models smaller and faster, and prove how accurate and how fast they are.

Names are imported when they are first used, so that `onnxq --help` does not wait for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxq.calibration import Ranges as Ranges
    from onnxq.config import Config as Config
    from onnxq.config import load_config as load_config
    from onnxq.errors import OnnxqError as OnnxqError
    from onnxq.graph import Model as Model
    from onnxq.graph import load as load
    from onnxq.graph import save as save
    from onnxq.passes import Applied as Applied
    from onnxq.passes import Pass as Pass
    from onnxq.passes import Refused as Refused
    from onnxq.passes import RunResult as RunResult
    from onnxq.passes import run as run
    from onnxq.plan import Plan as Plan
    from onnxq.rules import Rule as Rule
    from onnxq.workflow import CompressResult as CompressResult
    from onnxq.workflow import FinetuneResult as FinetuneResult
    from onnxq.workflow import PruneResult as PruneResult
    from onnxq.workflow import QuantizeResult as QuantizeResult
    from onnxq.workflow import Sensitivity as Sensitivity
    from onnxq.workflow import SimplifyResult as SimplifyResult
    from onnxq.workflow import SparsifyResult as SparsifyResult
    from onnxq.workflow import check_sparsity as check_sparsity
    from onnxq.workflow import compress as compress
    from onnxq.workflow import finetune as finetune
    from onnxq.workflow import prune as prune
    from onnxq.workflow import quantize as quantize
    from onnxq.workflow import sensitivity as sensitivity
    from onnxq.workflow import simplify as simplify
    from onnxq.workflow import sparsify as sparsify

__version__ = "0.1.0"

_HOME = {
    "Applied": "onnxq.passes",
    "CompressResult": "onnxq.workflow",
    "Config": "onnxq.config",
    "FinetuneResult": "onnxq.workflow",
    "Model": "onnxq.graph",
    "OnnxqError": "onnxq.errors",
    "Pass": "onnxq.passes",
    "Plan": "onnxq.plan",
    "PruneResult": "onnxq.workflow",
    "QuantizeResult": "onnxq.workflow",
    "Ranges": "onnxq.calibration",
    "Refused": "onnxq.passes",
    "Rule": "onnxq.rules",
    "RunResult": "onnxq.passes",
    "Sensitivity": "onnxq.workflow",
    "SimplifyResult": "onnxq.workflow",
    "SparsifyResult": "onnxq.workflow",
    "check_sparsity": "onnxq.workflow",
    "compress": "onnxq.workflow",
    "finetune": "onnxq.workflow",
    "load": "onnxq.graph",
    "load_config": "onnxq.config",
    "prune": "onnxq.workflow",
    "quantize": "onnxq.workflow",
    "run": "onnxq.passes",
    "save": "onnxq.graph",
    "sensitivity": "onnxq.workflow",
    "simplify": "onnxq.workflow",
    "sparsify": "onnxq.workflow",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    """Import a public name from its room on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'onnxq' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
