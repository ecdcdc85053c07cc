"""What the pages of several commands have alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from onnxq.measure import Accuracy, Fidelity, Latency
from onnxq.report.fidelities import fidelity_rows
from onnxq.report.html import Box, Change, GraphPicture, Kind, Reproduce, State, Table, Verdict
from onnxq.report.pages.changes import accuracy_change, bars, latency_change, size_change
from onnxq.report.pages.environment import environment
from onnxq.workflow import Finding

STATES: Mapping[bool | None, State] = {
    True: State.GOOD,
    False: State.BAD,
    None: State.UNDECIDED,
}


def verdict_part(
    findings: Iterable[Finding],
    warnings: Sequence[str],
    files: Mapping[str, str | None],
    *,
    headline: str,
    state: State,
    remarks: Sequence[str] = (),
) -> Verdict:
    """The verdict, its findings, and what was written."""
    said = [(STATES[finding.passed], sentence(finding)) for finding in findings]
    return Verdict(headline, state, said, warnings, [*remarks, _written(files)])


def headline(*, success: bool) -> str:
    """The outcome in words."""
    return "Success" if success else "The result does not keep to its budget"


def state(*, success: bool) -> State:
    """The outcome as a colour."""
    return State.GOOD if success else State.BAD


def sentence(finding: Finding) -> str:
    """The finding's text, which may or may not begin with what it is about."""
    starts = finding.text.startswith(finding.subject)
    return finding.text if starts else f"{finding.subject}: {finding.text}"


def _written(files: Mapping[str, str | None]) -> str:
    output = files.get("output")
    return f"Written to {output}" if output else "No model was written"


def outputs_part(fidelity: Mapping[str, Fidelity], judged_on: str) -> Table:
    """How close every output is."""
    columns, rows = fidelity_rows(fidelity)
    return Table("Outputs against the input model's", columns, rows, f"on {judged_on}")


def measured_changes(
    accuracy: tuple[Accuracy, Accuracy] | None,
    sizes: tuple[int, int],
    latency: Latency | None,
) -> Iterator[Change]:
    """Accuracy, size and speed, as far as they were measured."""
    if accuracy is not None:
        yield accuracy_change(*accuracy)
    yield size_change(*sizes)
    if latency is not None:
        yield latency_change(latency)


def counted(name: str, before: int, after: int, written: Callable[[int], str]) -> Change:
    """A number of things, fewer of which are better."""
    better = State.PLAIN if before == after else State.GOOD if after < before else State.BAD
    change = f"{(after - before) / before * 100:+.1f} %" if before else ""
    return Change(name, written(before), written(after), change, better, bars(before, after))


def reproduce(
    command: Sequence[str],
    facts: Iterable[tuple[str, str]] = (),
    files: Sequence[tuple[str, str]] = (),
) -> Reproduce:
    """The command, the versions, and what else makes the same again."""
    return Reproduce(command, [*environment(), *facts], files)


def picture(
    title: str, graph: tuple[Sequence[Box], Sequence[tuple[int, int]]], kinds: Sequence[Kind]
) -> GraphPicture:
    """A graph without qualities."""
    return GraphPicture(title, *graph, kinds)
