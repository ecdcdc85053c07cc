"""What the models' fuzzer does with `onnxq check`: all gates that measure no time, all outputs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console

from onnxq.config.gates import (
    Gates,
    IntegersGate,
    LintGate,
    NumericsGate,
    ParametersGate,
    SizeGate,
    StructureGate,
    WorkGate,
)
from onnxq.gates import CheckResult, check
from onnxq.report import save_report
from onnxq.report.check import (
    checked,
    code_quality,
    github_annotations,
    junit_xml,
    summary_markdown,
)
from onnxq.report.json_text import json_text
from onnxq.report.pages import checked_page

GATES = Gates(
    numerics=NumericsGate(samples=2, seconds=3.0, min_sqnr=20.0, min_cosine=0.9, min_agreement=0.9),
    size=SizeGate(max_bytes=500, max_growth=0.1),
    parameters=ParametersGate(max_count=10, max_growth=0.1),
    work=WorkGate(max_macs=100, max_bit_operations=1000, max_growth=0.1),
    integers=IntegersGate(min_share=0.5, max_drop=0.1),
    structure=StructureGate(
        no_float_weights=True, sparsity="2:4", allow_operators=("Conv",), deny_operators=("Loop",)
    ),
    lint=LintGate(min_share=0.5),
)

MARKUP = "<script>alert(1)</script>"
"""A name that the mutations give: no page may hold it as it is."""


def check_and_tell(model: Path, baseline: Path, out: Path, *, page: bool) -> None:
    """Hold a model against all gates, and write what CI reads.

    Raises:
        OnnxqError: as the command would.
        AssertionError: if an output is not what its readers take.
    """
    result = check(model, baseline=baseline, gates=GATES)
    _parses(result)
    terminal = Console(file=io.StringIO(), width=100)
    for block in checked(result, details=True):
        terminal.print(block)
    assert "\x1b" not in terminal.file.getvalue(), "a name reaches the terminal as a command"
    if page:
        path = out / "check.html"
        save_report(path, result.to_dict(), lambda: checked_page(result))
        assert MARKUP not in path.read_text(), "a name reaches the page as markup"


def _parses(result: CheckResult) -> None:
    json.loads(json_text(result.to_dict()))
    json.loads(json_text(code_quality(result)))
    ElementTree.fromstring(junit_xml(result))
    assert MARKUP not in summary_markdown(result), "a name reaches the summary as markup"
    for line in github_annotations(result):
        assert line.startswith("::"), f"a line that is no workflow command: {line!r}"
        assert not set(line) & set("\r\n"), "a name begins a workflow command of its own"
