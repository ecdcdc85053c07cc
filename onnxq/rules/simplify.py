"""All rules together, with constants folded in between, until nothing more follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from onnxq.rules.rule import Rule
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
        run = _Run(self, model)
        missed: dict[Event, None] = {}
        for _ in range(_MAXIMUM_TURNS):
            missed.clear()
            before = run.edits
            for event in run.turn():
                if isinstance(event, Applied):
                    yield event
                else:
                    missed[event] = None
            if run.edits == before:
                break
        yield from missed

    @property
    def between(self) -> tuple[Pass, ...]:
        """The passes that run before the rules in every turn; they can be left out by name too."""
        return (self.folding, DeduplicateConstants(), MergeDuplicates())


class _Run:
    """One run over a model.

    Attributes:
        edits: How many edits were made so far.
    """

    def __init__(self, settings: Simplify, model: Model) -> None:
        self.edits = 0
        self._settings, self._model = settings, model
        self._knowledge = Knowledge(model)
        self._settled: dict[int, tuple[int, list[Event]]] = {}
        """By phase: after how many edits it had nothing to do, and its near misses then."""

    def turn(self) -> Iterator[Event]:
        """The passes in between, then every phase that something was edited since."""
        for one in self._settings.between:
            if type(one).__name__ not in self._settings.without:
                yield from self._pass(one)
        for number, phase in enumerate(PHASES):
            edits, missed = self._settled.get(number, (-1, []))
            if edits == self.edits:
                yield from missed
            else:
                yield from self._phase(number, phase)

    def _pass(self, one: Pass) -> Iterator[Event]:
        before = self.edits
        if isinstance(one, FoldConstants | MergeDuplicates):
            events = one.apply_knowing(self._model, self._knowledge)
        else:
            events = one.apply(self._model)
        for event in events:
            self.edits += isinstance(event, Applied)
            yield replace(event, rule=type(one).__name__)
        if self.edits > before:
            self._knowledge.forget()
            remove_dead_nodes(self._model)

    def _phase(self, number: int, phase: Sequence[Rule]) -> Iterator[Event]:
        rules = [rule for rule in phase if type(rule).__name__ not in self._settings.without]
        missed: list[Event] = []
        for event in rewrite_all(self._model, rules, self._knowledge):
            if isinstance(event, Applied):
                self.edits += 1
            else:
                missed.append(event)
            yield event
        self._settled[number] = (self.edits, missed)
