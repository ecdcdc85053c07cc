"""The input model and the result, figure by figure."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from onnxq.measure import Accuracy, Latency, TopK, accuracy_drop
from onnxq.report import figures
from onnxq.report.tables import Row, table
from onnxq.workflow import QuantizeResult


def before_after(result: QuantizeResult) -> Table:
    """Size, accuracy, latency and work of both."""
    return table("Before and after", ("", ">input", ">result", "change"), _rows(result))


def _rows(result: QuantizeResult) -> Iterator[Row]:
    sizes = result.sizes
    times = sizes.input / sizes.output if sizes.output else 1.0
    yield (
        "size",
        figures.size(sizes.input),
        figures.size(sizes.output),
        f"{times:.2f} times smaller",
    )
    if result.accuracy is not None:
        yield accuracy_row(*result.accuracy)
    if result.latency is not None:
        yield latency_row(result.latency)
    total, share = result.macs
    yield "MACs in integers", "", figures.percent(share, 1), f"of {figures.count(total)}"
    if result.placement is not None:
        integer = figures.percent(result.placement.integer_share, 1)
        yield "operators in integers", "", integer, "as the engine runs them"


def accuracy_row(before: Accuracy, after: Accuracy) -> Row:
    """Both scores, and the change with its standard error."""
    is_share = before.metric.startswith(f"{TopK(1).name.partition('-')[0]}-")
    drop = accuracy_drop(before, after)
    change = (-drop.value if before.higher_is_better else drop.value) + 0.0
    if not is_share:
        return (
            before.metric,
            figures.plain(before.value),
            figures.plain(after.value),
            f"{change:+.4g}",
        )
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
        f"{ratio.value:.2f} times faster (95 %: {ratio.low:.2f} to {ratio.high:.2f})",
    )
