"""Exact simplification: one algebraic identity per file, applied together to a fixpoint."""

from onnxq.rules.fixpoint import rewrite_all
from onnxq.rules.recognition.hard_sigmoid import FuseHardSigmoid
from onnxq.rules.rule import Rule
from onnxq.rules.simplify import Simplify
from onnxq.rules.table import PHASES
from onnxq.rules.workspace import Shape, Workspace

__all__ = [
    "PHASES",
    "FuseHardSigmoid",
    "Rule",
    "Shape",
    "Simplify",
    "Workspace",
    "rewrite_all",
]
