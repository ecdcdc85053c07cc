"""A check as a code quality report, which GitLab shows in merge requests.

Fields: GitLab, "Code Quality", section "Code Quality report format".
"""

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import Any

from onnxq.gates import Check, CheckResult, Undecided
from onnxq.report.check.words import message


def code_quality(result: CheckResult) -> list[dict[str, Any]]:
    """An entry for every failure and warning, as JSON values."""
    found = [(check, "critical") for check in result.failures]
    found += [(check, _mild(check)) for check in result.warnings]
    return [_entry(result.model, check, severity) for check, severity in found]


def _mild(check: Check) -> str:
    return "info" if isinstance(check.verdict, Undecided) else "minor"


def _entry(model: str, check: Check, severity: str) -> dict[str, Any]:
    path = PurePath(model).as_posix()
    # Without figures: the same finding in the next run is recognised as the same.
    fingerprint = hashlib.sha256(f"{path}\0{check.title}".encode()).hexdigest()
    return {
        "description": f"{check.title}: {message(check)}",
        "check_name": f"onnxq/{check.title}",
        "fingerprint": fingerprint,
        "severity": severity,
        "location": {"path": path, "lines": {"begin": 1}},
    }
