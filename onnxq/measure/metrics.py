"""What an accuracy measures: a sum type of metrics, and the names they have in a config."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from numpy.typing import NDArray

from onnxq.errors import ConfigError

Scorer: TypeAlias = Callable[[Mapping[str, NDArray[Any]], NDArray[Any]], float]
"""A user's metric: (outputs of a batch by name, labels of the batch) -> mean score."""


@dataclass(frozen=True)
class TopK:
    """Share of samples whose label is among the `k` highest scores. Higher is better."""

    k: int = 1
    higher_is_better: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """How a configuration writes it."""
        return f"top-{self.k}"


@dataclass(frozen=True)
class MeanSquaredError:
    """Mean squared difference between output and label. Lower is better."""

    name: ClassVar[str] = "mse"
    higher_is_better: ClassVar[bool] = False


@dataclass(frozen=True)
class UserMetric:
    """A user's function. Higher is better.

    Attributes:
        name: How it is shown, usually `module:function`.
        score: The function; called once per batch, averaged with the batch sizes as weights.
    """

    name: str
    score: Scorer
    higher_is_better: ClassVar[bool] = True


Metric: TypeAlias = TopK | MeanSquaredError | UserMetric

_TOP = re.compile(r"top-(\d+)")


def parse_metric(text: str) -> Metric:
    """The metric of a configuration: `top-<k>`, `mse` or `module:function`.

    A module is looked for in the working directory first.

    Raises:
        ConfigError: if the text names no metric, or the function cannot be imported.
    """
    top = _TOP.fullmatch(text)
    if top and int(top[1]) > 0:
        return TopK(int(top[1]))
    if text == "mse":
        return MeanSquaredError()
    if ":" in text:
        return UserMetric(text, load_scorer(text))
    raise ConfigError(
        f"'{text}' is no metric",
        where="evaluate.metric",
        remedy="use top-1, top-5, mse or module:function",
    )


def load_scorer(reference: str) -> Scorer:
    """Import the function that `module:function` names.

    Raises:
        ConfigError: if the module or the function does not exist or cannot be called.
    """
    module_name, _, function_name = reference.partition(":")
    try:
        with _working_directory_importable():
            module = importlib.import_module(module_name)
    except (ImportError, SyntaxError, ValueError) as error:
        raise ConfigError(
            f"module '{module_name}' cannot be imported",
            where=f"metric '{reference}'",
            why=f"{type(error).__name__}: {error}",
            remedy="run in the folder of the module, or install it",
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigError(
            f"module '{module_name}' has no function '{function_name}'",
            where=f"metric '{reference}'",
            remedy="define it as function(outputs, labels) -> float",
        )
    scorer: Scorer = function
    return scorer


@contextmanager
def _working_directory_importable() -> Iterator[None]:
    """Let modules beside the user's configuration be found, as `python` itself would."""
    path = str(Path.cwd())
    sys.path.insert(0, path)
    try:
        yield
    finally:
        sys.path.remove(path)
