"""The other forms of a check's report: terminal, markdown, GitHub, GitLab."""

from __future__ import annotations

import json
from dataclasses import replace
from html import unescape

from markdown_it import MarkdownIt
from rich.console import Console

from onnxq.gates import CheckResult
from onnxq.report.check import checked, code_quality, github_annotations, summary_markdown


def shown(result: CheckResult, *, details: bool = False) -> str:
    console = Console(width=160, record=True, file=None)
    with console.capture() as capture:
        for part in checked(result, details=details):
            console.print(part)
    return capture.get()


def test_terminal(result: CheckResult, good: CheckResult) -> None:
    text = shown(result)
    first = text.splitlines()[0]
    assert "models/m,1.onnx against old.onnx: FAILED (size); 1 passed, 1 failed, 1 warning" in first
    assert "size.growth: shrink it" in text
    assert "lint.qnn-takes: quantize again" in text.partition("Warnings")[2]
    assert shown(result, details=True).count("<script>") == text.count("<script>") + 1
    assert "passed; 1 passed" in shown(good) and "What to do" not in shown(good)


def test_annotations(result: CheckResult, good: CheckResult) -> None:
    error, warning, notice = github_annotations(result)
    assert error.startswith(
        "::error file=models/m%2C1.onnx,title=onnxq size.growth::too large, a|b <script>"
    )
    assert "%250A" in error, "a percent sign of the text is none of the escapes"
    assert "To do: shrink it." in error
    assert warning.startswith("::warning ") and notice.startswith("::notice ")
    assert list(github_annotations(good)) == []


def test_annotations_stay_on_their_line(result: CheckResult) -> None:
    named = replace(result, model="a\nb:c.onnx")
    for line in github_annotations(named):
        assert "\n" not in line and "file=a%0Ab%3Ac.onnx," in line


def test_code_quality(result: CheckResult, good: CheckResult) -> None:
    """The fields that GitLab's documentation lists."""
    entries = code_quality(result)
    assert json.loads(json.dumps(entries)) == entries
    assert [entry["severity"] for entry in entries] == ["critical", "minor", "info"]
    for entry in entries:
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["location"] == {"path": "models/m,1.onnx", "lines": {"begin": 1}}
    assert len({entry["fingerprint"] for entry in entries}) == 3
    again = code_quality(replace(result, strict=True))
    assert entries[0]["fingerprint"] in {entry["fingerprint"] for entry in again}
    assert code_quality(good) == []


def test_markdown(result: CheckResult, good: CheckResult) -> None:
    text = summary_markdown(result)
    assert text.startswith("## onnxq check: models/m,1.onnx FAILED\n")
    assert "| size | 100 B | 110 B |" in text
    assert "| top-1 | 90.00 % (1,000 samples) | 90.00 % (1,000 samples) |" in text
    # What names hold means nothing: no tag, no cell, no code, no emphasis.
    rows = [line for line in text.splitlines() if line.startswith("| **FAILED**")]
    assert len(rows) == 1
    assert "a\\|b \\<script\\>" in rows[0] and "\\`c\\` \\*d\\*" in rows[0]
    assert "<script>" not in text
    assert text.count("<details>") == text.count("</details>") == 1
    assert "<details><summary>All findings</summary>\n\n|" in text
    assert summary_markdown(good).splitlines()[0].endswith(" passed")


def test_markdown_renders(result: CheckResult, evil: str) -> None:
    """With tables as GitHub has them: every finding a row, and every name a text."""
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(summary_markdown(result))
    assert html.count("<table>") == 2 and html.count("<tr>") == 2 + len(result.checks) + 8
    assert "<script>" not in html and "<code>" not in html and "<em>" not in html
    plain = " ".join(evil.split())
    assert plain in unescape(html)


def test_markdown_of_a_model_that_does_not_load(result: CheckResult) -> None:
    text = summary_markdown(replace(result, figures=None, reference=None, baseline=None))
    assert "without a baseline" in text and "| size |" not in text
