"""How close outputs or inner tensors are, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType

from onnxq.measure import Fidelity
from onnxq.report import figures
from onnxq.report.tables import table

_COLUMNS = ("output", ">SQNR", ">cosine", ">agreement", ">largest error", ">samples", "")


def fidelity_table(fidelity: Mapping[str, Fidelity], *, note: str = "") -> RenderableType:
    """One line per output."""
    return table("Outputs against the input model's", _COLUMNS, _rows(fidelity), note=note)


def fidelity_rows(
    fidelity: Mapping[str, Fidelity],
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The same as headings and rows, for other renderers."""
    return _COLUMNS, list(_rows(fidelity))


def _rows(fidelity: Mapping[str, Fidelity]) -> Iterator[tuple[str, ...]]:
    for name, found in fidelity.items():
        yield (
            name,
            figures.decibels(found.sqnr),
            figures.cosine(found.cosine),
            figures.percent(found.agreement if found.exact is None else found.exact),
            figures.plain(found.max_error, 3),
            str(found.samples),
            remarks(found),
        )


def remarks(found: Fidelity) -> str:
    """What else there is to say of a comparison."""
    notes = (
        (found.skipped, f"not compared: {found.skipped}"),
        (found.shape_mismatches, f"{found.shape_mismatches} samples differ in shape"),
        (found.non_finite_differing, f"{found.non_finite_differing} NaN or infinite on one side"),
    )
    return "; ".join(text for applies, text in notes if applies)
