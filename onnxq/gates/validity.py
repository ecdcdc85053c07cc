"""Gate: the file is valid ONNX, the engine loads it, and it keeps to the versions allowed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import onnx

from onnxq.config import Severity, ValidityGate
from onnxq.gates.evidence import Evidence
from onnxq.gates.verdict import Failed, Figure, Finding, Passed, Verdict
from onnxq.targets import load_target


@dataclass(frozen=True)
class ValidityCheck:
    """Runs onnx's checker, opens a session, and compares versions."""

    settings: ValidityGate
    name: ClassVar[str] = "validity"

    @property
    def severity(self) -> Severity:
        """As configured."""
        return self.settings.severity

    def judge(self, evidence: Evidence) -> Iterator[Finding]:
        """Checker, engine, operator set, file format."""
        yield Finding("checker", _checker(evidence))
        yield Finding("loads", _loads(evidence))
        yield Finding("opset", self._opset(evidence))
        if self.settings.max_ir is not None:
            yield Finding("ir", _ir(evidence.model.summary.ir_version, self.settings.max_ir))

    def _opset(self, evidence: Evidence) -> Verdict:
        opset = evidence.model.model.opset
        target = load_target(evidence.gates.target)
        quantized = bool(evidence.model.summary.conversions)
        wanted = target.minimum_opset if quantized else 1
        lowest = max(wanted, self.settings.min_opset or 1)
        highest = self.settings.max_opset
        if opset < lowest:
            asking = f"target {target.name}" if lowest == wanted else "the configuration"
            return Failed(
                f"operator set {opset}; {asking} wants {lowest} or newer: {lowest - opset} too old",
                "convert it with `onnxq simplify --opset`, or export it with a newer one",
                (Figure("opset", opset, lowest),),
            )
        if highest is not None and opset > highest:
            return Failed(
                f"operator set {opset}; the configuration allows {highest} at most: "
                f"{opset - highest} too new",
                "export it with an older operator set, or update the engine and raise `max_opset`",
                (Figure("opset", opset, highest),),
            )
        return Passed(f"operator set {opset}", (Figure("opset", opset, lowest),))


def _checker(evidence: Evidence) -> Verdict:
    try:
        onnx.checker.check_model(str(evidence.model.path))
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        return Failed(
            f"onnx.checker objects: {reason}", "correct the export, or the tool that edited it"
        )
    return Passed("onnx.checker has no objection")


def _loads(evidence: Evidence) -> Verdict:
    refusal = evidence.model.refusal
    if refusal:
        return Failed(
            f"ONNX Runtime does not load the model: {refusal}",
            "correct the export, or update the engine",
        )
    return Passed("ONNX Runtime loads the model")


def _ir(version: int, highest: int) -> Verdict:
    figures = (Figure("ir", version, highest),)
    if version <= highest:
        return Passed(f"file format {version}, at most {highest} allowed", figures)
    return Failed(
        f"file format (IR) {version}; at most {highest} allowed: {version - highest} too new",
        "save it with an older `ir_version`, or update the engine and raise `max_ir`",
        figures,
    )
