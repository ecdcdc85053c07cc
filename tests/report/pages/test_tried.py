from __future__ import annotations

from onnxq.report.html import LineChart, Scatter, Table
from onnxq.report.pages.tried import tried
from onnxq.workflow import Trial


def _parts(*trials):
    return {type(part): part for part in tried(trials)}


def test_the_frontier_needs_both_figures():
    timed = [Trial("speed", name, 20.0 + i, 1.0 + i / 10) for i, name in enumerate("abc")]
    parts = _parts(*timed, Trial("ranges", "min-max", 18.0, taken=True))
    assert [(p.x, p.y) for p in parts[Scatter].points] == [(1.0, 20.0), (1.1, 21.0), (1.2, 22.0)]
    assert [p.x for p in parts[LineChart].points] == [1, 2, 3, 4]
    assert [p.marked for p in parts[LineChart].points] == [False, False, False, True]
    assert parts[Table].rows[-1] == ("✓", "ranges", "min-max", "18.0 dB", "")


def test_without_measurements_there_is_the_table_alone():
    parts = _parts(Trial("a", "does not run"), Trial("a", "runs", 30.0))
    assert set(parts) == {Table}
