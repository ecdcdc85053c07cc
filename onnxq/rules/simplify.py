"""All rules together, with constants folded in between, until nothing more follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

from onnxq.graph import Model, remove_dead_nodes
from onnxq.passes import (
    Applied,
    DeduplicateConstants,
    Event,
    FoldConstants,
    MergeDuplicates,
    Pass,
)
from onnxq.passes.dimensions import Knowledge
from onnxq.rules.fixpoint import rewrite_all
from onnxq.rules.table import PHASES

_MAXIMUM_TURNS = 6


@dataclass(frozen=True)
class Simplify:
    """Simplify the main graph exactly.

    Attributes:
        without: Names of rules (their classes) to leave out, or of the passes between them.
        folding: How constants are folded between the rules.
    """

    without: frozenset[str] = frozenset()
    folding: FoldConstants = field(default_factory=FoldConstants)
    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Fold constants and apply the rules in turns; near misses come last, once each."""
        missed: dict[Event, None] = {}
        knowledge = Knowledge(model)
        for _ in range(_MAXIMUM_TURNS):
            missed.clear()
            changed = False
            for event in self._turn(model, knowledge):
                if isinstance(event, Applied):
                    changed = True
                    yield event
                else:
                    missed[event] = None
            if not changed:
                break
        yield from missed

    @property
    def between(self) -> tuple[Pass, ...]:
        """The passes that run before the rules in every turn; they can be left out by name too."""
        return (self.folding, DeduplicateConstants(), MergeDuplicates())

    def _turn(self, model: Model, knowledge: Knowledge) -> Iterator[Event]:
        for one in self.between:
            name = type(one).__name__
            if name in self.without:
                continue
            changed = False
            if isinstance(one, FoldConstants | MergeDuplicates):
                events = one.apply_knowing(model, knowledge)
            else:
                events = one.apply(model)
            for event in events:
                changed = changed or isinstance(event, Applied)
                yield replace(event, rule=name)
            if changed:
                knowledge.forget()
                remove_dead_nodes(model)
        for phase in PHASES:
            rules = [rule for rule in phase if type(rule).__name__ not in self.without]
            yield from rewrite_all(model, rules, knowledge)
