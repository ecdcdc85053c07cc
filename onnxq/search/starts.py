"""Where a search begins: points that are tried before anything is proposed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnxq.search.dimensions import Choice, Value, Values
from onnxq.search.formats import FLOAT
from onnxq.search.space import SearchSpace

DEFAULT_ORIGIN = "default recipe"
"""Its trial is never given up, and its failure is that of the search."""

WHOLE = "all "
"""How the origins of those begin in which all layers have one format."""


@dataclass(frozen=True)
class Start:
    """A point that is tried before anything is proposed."""

    name: str
    values: Values


def starts_of(space: SearchSpace) -> list[Start]:
    """The default recipe, everything in integers, everything in float; then what is near them.

    Neighbours of the default recipe differ from it in a single choice.
    """
    names = dict.fromkeys(
        form.name for group in space.layers.groups for form in space.layers.options[group.name]
    )
    integers = [name for name in names if name != FLOAT]
    floats = [name for name in names if name == FLOAT]
    found = [
        Start(DEFAULT_ORIGIN, space.first),
        *(
            Start(f"{WHOLE}{name}", space.everywhere(name))
            for name in (*integers[:1], *floats, *integers[1:])
        ),
        *_neighbours(space),
    ]
    seen: set[tuple[tuple[str, Value], ...]] = set()
    return [start for start in found if not _met(start, seen)]


def _met(start: Start, seen: set[tuple[tuple[str, Value], ...]]) -> bool:
    key = tuple(sorted(start.values.items()))
    before = key in seen
    seen.add(key)
    return before


def _neighbours(space: SearchSpace) -> Iterator[Start]:
    choices: Sequence[Choice] = [d for d in space.dimensions if isinstance(d, Choice)]
    # The choices that concern everything first.
    grouped = {group.name for group in space.layers.groups}
    for dimension in sorted(choices, key=lambda choice: choice.name in grouped):
        for option in dimension.options[1:]:
            values = {**space.first, dimension.name: option}
            yield Start(f"{dimension.name}: {option}", values)


def capped(starts: Sequence[Start], trials: int | None) -> list[Start]:
    """The first starts; sampling gets at least half of the trials beyond the first few."""
    few = 6
    return list(starts if trials is None else starts[: max(min(few, trials), trials // 2)])
