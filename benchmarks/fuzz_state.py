"""What was fuzzed so far: kept in a folder, so that a later call goes on from there."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fuzz_workers import FAULTS, Attempt, Outcome, outcomes

_SAVE_EVERY = 5.0


@dataclass
class State:
    """The cases done and what became of them.

    Attributes:
        following: The first case that is not done.
        kinds: Number of outcomes by kind.
        processor_seconds: Of all cases.
        slowest: The longest case's seconds of processor time.
        faults: The outcomes that are faults.
    """

    following: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    processor_seconds: float = 0.0
    slowest: float = 0.0
    faults: list[dict[str, Any]] = field(default_factory=list)

    def without_faults(self) -> tuple[State, list[int]]:
        """The state with its faults taken out, and their cases: they are tried again."""
        kinds = dict(self.kinds)
        for fault in self.faults:
            kinds[fault["kind"]] -= 1
        kinds = {kind: count for kind, count in kinds.items() if count}
        return replace(self, kinds=kinds, faults=[]), [fault["case"] for fault in self.faults]

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.kinds[outcome.kind] = self.kinds.get(outcome.kind, 0) + 1
        self.processor_seconds += outcome.seconds
        self.slowest = max(self.slowest, outcome.seconds)
        if outcome.kind in FAULTS:
            self.faults.append(asdict(outcome))


def load_state(path: Path) -> State:
    """The state kept in a file; a new one if there is none."""
    if not path.exists():
        return State()
    return State(**json.loads(path.read_text()))


def save_state(path: Path, state: State) -> None:
    """Keep the state."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(asdict(state), indent=1))
    temporary.replace(path)


def add_arguments(parser: argparse.ArgumentParser, cases: int) -> None:
    """The options that all fuzzers have."""
    parser.add_argument("--cases", type=int, default=cases, help="cases in total, from 0 on")
    parser.add_argument("--first", type=int, help="begin here instead of where the state ends")
    parser.add_argument("--seconds", type=float, default=170, help="begin no case after so long")
    parser.add_argument("--workers", type=int, default=1, help="processes at a time")
    parser.add_argument("--state", type=Path, default=Path("fuzz-state"), help="folder")
    parser.add_argument("--only", type=int, help="run one case here, without limits")


def run_cases(
    attempt: Attempt,
    options: argparse.Namespace,
    name: str,
    again: Callable[[Outcome], Outcome] = lambda outcome: outcome,
) -> State:
    """Go on with the cases, in pieces that are kept only when they are complete.

    Faults are tried again first: what is mended counts no more.

    Args:
        attempt: Runs a case.
        options: As `add_arguments` has them.
        name: Of the fuzzer.
        again: Looks at an outcome once more, before it is counted.
    """
    options.state.mkdir(parents=True, exist_ok=True)
    path = options.state / f"{name}.json"
    state = load_state(path) if options.first is None else State(options.first)
    end = time.monotonic() + options.seconds
    state, cases = state.without_faults()
    last = state.following
    while cases or (last < options.cases and time.monotonic() < end):
        if not cases:
            first, last = last, min(last + 100 * options.workers, options.cases)
            cases = list(range(first, last))
        piece = list(outcomes(attempt, cases, workers=options.workers))
        for outcome in map(again, sorted(piece, key=lambda o: o.case)):
            state.add(outcome)
            if outcome.kind in FAULTS:
                print(f"{outcome.case} {outcome.kind}: {outcome.detail}", flush=True)
        state.following, cases = last, []
        if options.first is None:
            save_state(path, state)
    print(
        f"{name}: {state.following} cases, {state.kinds}, "
        f"{state.processor_seconds:.0f} s, slowest {state.slowest:.1f} s"
    )
    return state


__all__ = ["State", "add_arguments", "load_state", "run_cases", "save_state"]
