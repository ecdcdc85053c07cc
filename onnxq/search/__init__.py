"""The search for the best compression, on Optuna."""

from onnxq.search._requirement import OPTUNA_VERSION
from onnxq.search.dimensions import Value, Values
from onnxq.search.figures import Figures
from onnxq.search.result import Point, SearchResult, State
from onnxq.search.searching import search
from onnxq.search.starts import DEFAULT_ORIGIN

__all__ = [
    "DEFAULT_ORIGIN",
    "OPTUNA_VERSION",
    "Figures",
    "Point",
    "SearchResult",
    "State",
    "Value",
    "Values",
    "search",
]
