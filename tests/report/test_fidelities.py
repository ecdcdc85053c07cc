from __future__ import annotations

import math

from onnxq.measure import Fidelity
from onnxq.report.fidelities import fidelity_table, remarks


def test_one_line_per_output_with_its_remarks(shown):
    found = {
        "scores": Fidelity("scores", samples=4, elements=8, sqnr=math.inf, cosine=1.0,
                           max_error=0.0, agreement=1.0),
        "boxes": Fidelity("boxes", samples=3, shape_mismatches=1),
        "labels": Fidelity("labels", samples=4, elements=4, max_error=0.0, exact=0.75),
        "names": Fidelity("names", skipped="its type is object"),
    }  # fmt: skip
    text = shown(fidelity_table(found, note="judged on x"))
    assert "exact" in text and "1.00000" in text
    assert "1 samples differ in shape" in text
    assert "75.00 %" in text
    assert "not compared: its type is object" in text
    assert "judged on x" in text


def test_nothing_to_remark():
    assert remarks(Fidelity("x", samples=1, elements=1, sqnr=30.0)) == ""
