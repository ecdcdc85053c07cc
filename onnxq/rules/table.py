"""All rules, in the order in which they are tried.

Meaning is recognised before constants are folded: once the 6 of a HardSwish is gone into the
next weight, nobody recognises it.
"""

from __future__ import annotations

from onnxq.rules.recognition.hard_sigmoid import FuseHardSigmoid
from onnxq.rules.rule import Rule

CLEANING: tuple[Rule, ...] = ()
RECOGNITION: tuple[Rule, ...] = (FuseHardSigmoid(),)
NORMALISATION: tuple[Rule, ...] = ()
FOLDING: tuple[Rule, ...] = ()
LINEAR: tuple[Rule, ...] = ()

PHASES: tuple[tuple[Rule, ...], ...] = (
    (*CLEANING, *RECOGNITION, *NORMALISATION),
    (*CLEANING, *RECOGNITION, *NORMALISATION, *FOLDING, *LINEAR),
)
"""Rows of rules; each row is applied to a fixpoint before the next begins."""
