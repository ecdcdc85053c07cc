"""The XML against the structure that Ant's and Jenkins' schemas describe.

From windyroad/JUnit-Schema (JUnit.xsd) and jenkinsci/xunit-plugin (junit-10.xsd), as tables: the
attributes an element must have, those it may have, and the elements it holds, in order. What stands
here is what both allow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from onnxq.gates import CheckResult
from onnxq.report.check import junit_xml


@dataclass(frozen=True)
class Element:
    required: frozenset[str]
    children: str
    """A pattern for the names of its children, each followed by a space."""


SCHEMA = {
    "testsuites": Element(frozenset(), r"(testsuite )*"),
    "testsuite": Element(
        frozenset(
            [
                "name",
                "package",
                "id",
                "timestamp",
                "hostname",
                "tests",
                "failures",
                "errors",
                "skipped",
                "time",
            ]
        ),
        r"properties (testcase )*system-out system-err ",
    ),
    "properties": Element(frozenset(), r"(property )*"),
    "property": Element(frozenset({"name", "value"}), r""),
    "testcase": Element(frozenset({"name", "classname", "time"}), r"(skipped |error |failure )?"),
    "failure": Element(frozenset({"message", "type"}), r""),
    "skipped": Element(frozenset({"message"}), r""),
    "system-out": Element(frozenset(), r""),
    "system-err": Element(frozenset(), r""),
}
_NUMBERS = ("id", "tests", "failures", "errors", "skipped")


def assert_valid(element: ElementTree.Element) -> None:
    rule = SCHEMA[element.tag]
    assert set(element.attrib) == rule.required, element.tag
    assert re.fullmatch(rule.children, "".join(f"{child.tag} " for child in element)), element.tag
    for name in set(element.attrib) & set(_NUMBERS):
        assert element.attrib[name].isdecimal()
    if "time" in element.attrib:
        assert re.fullmatch(r"[0-9]{0,3}(\.[0-9]*)?", element.attrib["time"])
    if "timestamp" in element.attrib:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", element.attrib["timestamp"])
    for child in element:
        assert_valid(child)


@pytest.mark.parametrize("strict", [False, True])
def test_the_structure(result: CheckResult, strict: bool) -> None:
    root = ElementTree.fromstring(junit_xml(replace(result, strict=strict)))
    assert_valid(root)
    suites = {suite.attrib["name"]: suite for suite in root}
    assert list(suites) == ["onnxq.validity", "onnxq.size", "onnxq.lint", "onnxq.latency"]
    assert [suite.attrib["id"] for suite in root] == ["0", "1", "2", "3"]
    for suite in root:
        cases = suite.findall("testcase")
        assert suite.attrib["tests"] == str(len(cases))
        assert suite.attrib["failures"] == str(len(suite.findall("testcase/failure")))
        assert suite.attrib["skipped"] == str(len(suite.findall("testcase/skipped")))


def test_it_fails_where_the_check_fails(result: CheckResult) -> None:
    def failures(found: CheckResult) -> list[str]:
        root = ElementTree.fromstring(junit_xml(found))
        cases = (case for case in root.iter("testcase") if case.find("failure") is not None)
        return [f"{case.attrib['classname']}.{case.attrib['name']}" for case in cases]

    assert failures(result) == ["onnxq.size.growth"]
    strict = replace(result, strict=True)
    assert failures(strict) == ["onnxq.size.growth", "onnxq.latency.slowdown"]


def test_names_survive_as_they_are(result: CheckResult, evil: str) -> None:
    text = junit_xml(result, now=datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC))
    root = ElementTree.fromstring(text)
    failure = root.find(".//failure")
    assert failure is not None and failure.text is not None
    # XML 1.0 has no character 1.
    assert failure.attrib["message"] == f"too large, {evil}".replace("\x01", "\ufffd")
    assert "To do: shrink it." in failure.text
    suite = root.find("testsuite")
    assert suite is not None and suite.attrib["timestamp"] == "2020-01-02T03:04:05"
