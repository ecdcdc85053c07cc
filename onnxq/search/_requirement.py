"""optuna is an optional part of the installation; where it is missing, one error says so."""

from __future__ import annotations

from onnxq.errors import UsageError

try:
    import optuna
except ModuleNotFoundError as error:
    if error.name != "optuna":
        raise
    raise UsageError(
        "the search needs optuna, which is not installed",
        remedy="run: pip install 'onnxq[search]'",
    ) from error

OPTUNA_VERSION = str(optuna.__version__)
"""The version of optuna that is installed."""
