"""What a page consists of: plain values, so that every command's page is a short list of them.

Texts are shown as they are: names in a model are chosen by whoever made it, and the renderer
escapes all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from onnxq.report.html.chart_parts import BarChart, Histograms, LineChart, Scatter


class State(Enum):
    """What to think of something: it is shown by a colour and a sign."""

    GOOD = "good"
    BAD = "bad"
    UNDECIDED = "undecided"
    PLAIN = "plain"


@dataclass(frozen=True)
class Verdict:
    """The first thing to see.

    Attributes:
        headline: A few words: the outcome.
        state: What to think of it.
        findings: What was judged, one line each.
        warnings: What the reader should know before believing any of it.
        remarks: Lines in small type, such as which files were written.
    """

    headline: str
    state: State
    findings: Sequence[tuple[State, str]] = ()
    warnings: Sequence[str] = ()
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Change:
    """A figure before and after.

    Attributes:
        name: What was measured.
        before: The figure of the input; empty if there is none.
        after: The figure of the result.
        change: Both in relation, in words.
        state: Whether it became better.
        bars: Both as shares of the larger, drawn below the figures; None where lengths mislead.
    """

    name: str
    before: str
    after: str
    change: str = ""
    state: State = State.PLAIN
    bars: tuple[float, float] | None = None


@dataclass(frozen=True)
class BeforeAfter:
    """Figures before and after, as cards."""

    changes: Sequence[Change]
    title: str = "Before and after"
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table; one of more than 15 rows can be searched.

    Attributes:
        title: Its heading.
        columns: Their headings; one that begins with `>` is aligned to the right.
        rows: The cells.
        note: A line below it.
        folded: Whether it opens on a click only.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Refusal:
    """Something that was not done, and why.

    Attributes:
        subject: The operator, rule or gate it is about.
        reason: Why.
        names: What it happened to.
    """

    subject: str
    reason: str
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Refusals:
    """Everything that was not done; searchable, with the names folded away."""

    title: str
    refusals: Sequence[Refusal]
    note: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of node in a picture, and what it is called.

    Attributes:
        key: One of `KINDS`, which have colours.
        label: Its name in the legend.
    """

    key: str
    label: str


KINDS = ("integer", "moved", "absorbed", "float", "missed", "index", "convert", "plain")


@dataclass(frozen=True)
class Box:
    """A node of a picture.

    Attributes:
        name: Its name.
        op: What is written into it.
        kind: The key of a `Kind`.
        details: Lines shown when it is selected.
        quality: How well it keeps its values, in dB; None if that was not measured.
    """

    name: str
    op: str
    kind: str = "plain"
    details: Sequence[str] = ()
    quality: float | None = None


@dataclass(frozen=True)
class GraphPicture:
    """A graph to pan and zoom in.

    Attributes:
        title: Its heading.
        boxes: The nodes in topological order.
        edges: Pairs of indices into `boxes`, from the earlier to the later.
        kinds: The legend.
        quality: What `Box.quality` means; empty if there is none.
        note: How to read it.
    """

    title: str
    boxes: Sequence[Box]
    edges: Sequence[tuple[int, int]]
    kinds: Sequence[Kind]
    quality: str = ""
    note: str = ""


@dataclass(frozen=True)
class Reproduce:
    """How to get the same again.

    Attributes:
        command: The command line, as its arguments.
        facts: Versions, processor, seeds and digests.
        files: Texts to save, by file name.
        title: Its heading.
    """

    command: Sequence[str]
    facts: Sequence[tuple[str, str]]
    files: Sequence[tuple[str, str]] = ()
    title: str = "How to reproduce this"


Part: TypeAlias = (
    Verdict
    | BeforeAfter
    | Table
    | Refusals
    | BarChart
    | LineChart
    | Scatter
    | Histograms
    | GraphPicture
    | Reproduce
)


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: What it is about; also the document's title.
        subtitle: A line below.
        parts: From top to bottom.
    """

    title: str
    subtitle: str
    parts: Sequence[Part]
