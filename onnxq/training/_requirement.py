"""torch is an optional part of the installation; where it is missing, one error says so."""

from __future__ import annotations

from onnxq.errors import UsageError

try:
    import torch
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise UsageError(
        "fine-tuning needs torch, which is not installed",
        remedy="run: pip install 'onnxq[train]'",
    ) from error

TORCH_VERSION = str(torch.__version__)
"""The version of torch that is installed."""
