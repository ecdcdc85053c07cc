"""What an accuracy measures: a sum type of metrics, and the names they have in a config."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from numpy.typing import NDArray

from onnxq.config import import_function
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
    scorer: Scorer = import_function(
        reference, error=ConfigError, purpose="function(outputs, labels) -> float"
    )
    return scorer
