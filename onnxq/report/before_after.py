"""The input model and the result, figure by figure."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from onnxq.measure import Accuracy, Latency, accuracy_drop
from onnxq.report import figures
from onnxq.report.tables import Row, table
from onnxq.workflow import QuantizeResult


def before_after(result: QuantizeResult) -> RenderableType:
    """Size, accuracy, latency and work of both."""
    return table("Before and after", ("", ">input", ">result", "change"), _rows(result))


def _rows(result: QuantizeResult) -> Iterator[Row]:
    yield size_row(result.sizes.input, result.sizes.output)
    if result.accuracy is not None:
        yield accuracy_row(*result.accuracy)
    if result.latency is not None:
        yield latency_row(result.latency)
    total, share = result.macs
    yield "MACs in integers", "", figures.percent(share, 1), f"of {figures.count(total)}"
    if result.placement is not None:
        integer = figures.percent(result.placement.integer_share, 1)
        yield "operators in integers", "", integer, "as the engine runs them"


def size_row(before: int, after: int) -> Row:
    """Bytes of both files, and their ratio."""
    times = before / after if after else 1.0
    change = f"{times:.2f} times smaller" if times >= 1 else f"{1 / times:.2f} times larger"
    return "size", figures.size(before), figures.size(after), change


def accuracy_row(before: Accuracy, after: Accuracy) -> Row:
    """Both scores, and the change with its standard error."""
    drop = accuracy_drop(before, after)
    change = after.value - before.value
    if before.standard_error is None:
        values = figures.plain(before.value), figures.plain(after.value)
        return before.metric, *values, f"{change:+.4g}, {after.samples} samples"
    error = "" if drop.standard_error is None else f" ± {drop.standard_error * 100:.2f}"
    return (
        f"accuracy ({before.metric})",
        figures.percent(before.value),
        figures.percent(after.value),
        f"{change * 100:+.2f}{error} points, {after.samples} samples",
    )


def latency_row(latency: Latency) -> Row:
    """Both medians, and the ratio with its interval."""
    first, second = latency.timings
    ratio = latency.speedups[1]
    return (
        "latency (median)",
        figures.milliseconds(first.median),
        figures.milliseconds(second.median),
        f"{ratio.value:.2f} times the speed (95 %: {ratio.low:.2f} to {ratio.high:.2f})",
    )
