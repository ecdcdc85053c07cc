"""A check as JUnit XML: a suite for each gate, a case for each finding.

The form is what both schemas in common use accept: that of Ant's JUnit task
(windyroad/JUnit-Schema), whose attributes are all required and whose cases hold one element at
most, and that of Jenkins (jenkinsci/xunit-plugin, junit-10.xsd).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from xml.etree import ElementTree

from onnxq.gates import Check, CheckResult, Failed, Passed, Skipped, Undecided
from onnxq.report.check.words import message

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document can hold (section 2.2): names of nodes may hold anything."""


def junit_xml(result: CheckResult, *, now: datetime | None = None) -> str:
    """The document.

    Failures of severity `warning` and what is undecided are skipped cases, so that what reads
    the file judges as the exit code does.

    Args:
        result: What was found.
        now: The time it is dated with; by default the present.
    """
    stamp = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S")
    root = ElementTree.Element("testsuites")
    grouped = groupby(result.checks, key=lambda check: check.gate)
    for number, (gate, checks) in enumerate(grouped):
        root.append(_suite(gate, list(checks), result, number, stamp))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(
    gate: str, checks: Sequence[Check], result: CheckResult, number: int, stamp: str
) -> ElementTree.Element:
    cases = [_case(check, result) for check in checks]
    suite = ElementTree.Element(
        "testsuite",
        name=f"onnxq.{gate}",
        package="onnxq",
        id=str(number),
        timestamp=stamp,
        hostname="localhost",
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors="0",
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time=f"{sum(check.seconds for check in checks):.3f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    facts = {"model": result.model, "baseline": result.baseline or ""}
    for name, value in facts.items():
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    suite.extend(cases)
    passed = [f"{c.title}: {c.verdict.text}" for c in checks if isinstance(c.verdict, Passed)]
    ElementTree.SubElement(suite, "system-out").text = _clean("\n".join(passed))
    ElementTree.SubElement(suite, "system-err")
    return suite


def _case(check: Check, result: CheckResult) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        name=check.name,
        classname=f"onnxq.{check.gate}",
        time=f"{check.seconds:.3f}",
    )
    verdict = check.verdict
    if check.fails(strict=result.strict):
        failure = ElementTree.SubElement(
            case, "failure", message=_clean(verdict.text), type=verdict.status
        )
        failure.text = _clean("\n".join((message(check), *verdict.details)))
    elif isinstance(verdict, Failed | Undecided | Skipped):
        why = "warning" if isinstance(verdict, Failed) else verdict.status
        ElementTree.SubElement(case, "skipped", message=_clean(f"{why}: {message(check)}"))
    return case


def _clean(text: str) -> str:
    return _UNPRINTABLE.sub("�", text)
