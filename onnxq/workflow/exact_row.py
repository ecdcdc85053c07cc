"""The row of exact passes that every job begins with, in the order in which they run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from onnxq.errors import UsageError
from onnxq.passes import (
    FoldConstants,
    FreezeDefaults,
    InlineFunctions,
    LowerConstants,
    Pass,
    RemoveDeadNodes,
    SetInputShapes,
    UpgradeOpset,
)
from onnxq.rules import PHASES, Simplify


@dataclass(frozen=True)
class ExactRow:
    """The exact passes, and what callers may decide about them.

    Attributes:
        without: Rules left out, by name.
        keep_defaults: Whether weights that callers may override stay so.
        input_shapes: Shapes that inputs shall have from now on, by name.
        opset: Operator set to convert to; 0: the model's own.
        widen_weights: Whether weights stored in a narrower type are folded although they grow,
            as quantization wants it.
    """

    without: frozenset[str] = frozenset()
    keep_defaults: bool = False
    input_shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    opset: int = 0
    widen_weights: bool = False

    @property
    def passes(self) -> tuple[Pass, ...]:
        """All of them."""
        return (
            *self.shapes,
            InlineFunctions(),
            RemoveDeadNodes(),
            *(() if self.keep_defaults else (FreezeDefaults(),)),
            LowerConstants(),
            *self._conversion,
            Simplify(self.without, FoldConstants(widen_weights=self.widen_weights)),
        )

    @property
    def harmless(self) -> tuple[Pass, ...]:
        """The removal of dead code and what the caller asked for by name; nothing else."""
        return (*self.shapes, RemoveDeadNodes(), *self._conversion)

    @property
    def shapes(self) -> tuple[Pass, ...]:
        """What gives inputs the shapes asked for, if any are."""
        return (SetInputShapes(self.input_shapes),) if self.input_shapes else ()

    @property
    def _conversion(self) -> tuple[Pass, ...]:
        if not self.opset:
            return ()
        # The converter writes new constants as nodes.
        return (UpgradeOpset(self.opset), LowerConstants())

    def less(self, rules: frozenset[str]) -> ExactRow:
        """The same row without these rules too."""
        return replace(self, without=self.without | rules)


def rule_names() -> list[str]:
    """The names of all that `Simplify` does and can leave out, in the order of its work."""
    rules = (rule for phase in PHASES for rule in phase)
    return list(dict.fromkeys(type(one).__name__ for one in (*Simplify().between, *rules)))


def known_rules(names: Collection[str]) -> frozenset[str]:
    """The names, all of which are rules.

    Raises:
        UsageError: if one is not.
    """
    known = rule_names()
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, 1)
            raise UsageError(
                f"there is no rule '{name}'",
                why=f"did you mean '{close[0]}'?" if close else "",
                remedy=f"the rules are {', '.join(sorted(known))}",
            )
    return frozenset(names)
