"""When a goal counts as reached."""

from __future__ import annotations

from typing import Any

import pytest
from quantizer_goals import NAMES, AtLeast, AtMost, Goal, describe, verdict
from quantizer_rows import ROWS

TOOLS: dict[str, dict[str, Any]] = {
    "ours": {"sqnr": 20.0, "seconds": 9.0, "speedup.1": 1.9, "speedup.1.low": 1.8}
    | {"speedup.1.high": 2.05},
    "theirs": {"sqnr": 15.0, "seconds": 4.0, "speedup.1": 2.1, "speedup.1.low": 2.0}
    | {"speedup.1.high": 2.2},
}
CASES: list[tuple[Goal, bool | None]] = [
    (AtLeast("ours", "sqnr", 19), True),
    (AtLeast("ours", "sqnr", 21), False),
    (AtLeast("ours", "sqnr", 1.5, of="theirs"), False),
    (AtMost("ours", "seconds", 3, of="theirs"), True),
    (AtMost("ours", "seconds", 2, of="theirs"), False),
    (AtLeast("ours", "speedup.1", 1.85), True),
    (AtLeast("ours", "speedup.1", 2), None),  # the interval reaches 2
    (AtLeast("ours", "speedup.1", 2.1), False),
    (AtLeast("ours", "speedup.1", 1, of="theirs"), None),  # the intervals meet
    (AtMost("ours", "speedup.1", 0.95, of="theirs"), True),
    (AtLeast("ours", "iou", 0.9), None),
    (AtLeast("nobody", "sqnr", 1), None),
]


@pytest.mark.parametrize(("goal", "expected"), CASES)
def test_verdict(goal: Goal, expected: bool | None) -> None:
    assert verdict(goal, TOOLS) is expected


def test_words() -> None:
    goal = AtMost("ours", "seconds", 3, of="theirs")
    assert describe(goal, TOOLS) == "ours: seconds ≤ 3 × theirs (4), is 9"
    assert describe(AtLeast("ours", "iou", 0.97), TOOLS) == "ours: mask IoU ≥ 0.97, is not measured"
    fast = describe(AtLeast("ours", "speedup.1", 2), TOOLS)
    assert fast == "ours: speed-up, one thread ≥ 2, is 1.9 (1.8–2.05)"


def test_goals_of_the_table_name_what_there_is() -> None:
    for row in ROWS:
        for goal in row.goals:
            assert goal.tool in row.tools
            assert goal.of == "" or goal.of in row.tools
            assert goal.figure in NAMES
