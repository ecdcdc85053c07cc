"""The result of a check in the forms that people and CI systems read."""

from onnxq.report.check.annotations import github_annotations
from onnxq.report.check.code_quality import code_quality
from onnxq.report.check.junit import junit_xml
from onnxq.report.check.markdown import summary_markdown
from onnxq.report.check.terminal import checked

__all__ = [
    "checked",
    "code_quality",
    "github_annotations",
    "junit_xml",
    "summary_markdown",
]
