"""Where and with what figures were found, so that they can be questioned later."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from onnxq.engine import processor_flags
from onnxq.gates.evidence import BaselineModel, Evidence
from onnxq.gates.figures import file_digest

_PACKAGES = ("onnxq", "numpy", "onnx", "onnxruntime")
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Context:
    """The machine, the versions, and what went in.

    Attributes:
        processor: Its name.
        processor_flags: Its instruction sets, in alphabetical order; empty if not known.
        system: Kind of operating system and machine.
        versions: Of Python and the packages that matter.
        target: The engine asked for.
        threads: Threads of the engine while speed and memory are measured; 0: its choice.
        seed: Of everything random.
        model: SHA-256 of the model.
        baseline: SHA-256 of the baseline's model; None without one.
        data: Digest of the samples; None if they were made up, or it is dear to find.
        judged_on: Where the samples come from.
    """

    processor: str
    processor_flags: tuple[str, ...]
    system: str
    versions: dict[str, str]
    target: str
    threads: int
    seed: int
    model: str
    baseline: str | None
    data: str | None
    judged_on: str

    def to_dict(self) -> dict[str, Any]:
        """The context as JSON values."""
        return asdict(self)


def context_of(evidence: Evidence) -> Context:
    """The context of a check."""
    gates = evidence.gates
    runs = not evidence.model.refusal
    return Context(
        processor=_processor(),
        processor_flags=tuple(sorted(processor_flags() or ())),
        system=f"{platform.system()} {platform.machine()}",
        versions={"python": platform.python_version(), **_versions()},
        target=gates.target,
        threads=gates.threads,
        seed=gates.seed,
        model=file_digest(evidence.model),
        baseline=_baseline_digest(evidence),
        data=evidence.data_digest if runs else None,
        judged_on=evidence.origin,
    )


def _baseline_digest(evidence: Evidence) -> str | None:
    if isinstance(evidence.baseline, BaselineModel):
        return file_digest(evidence.baseline.subject)
    return None if evidence.baseline is None else evidence.baseline.figures.digest


def _versions() -> dict[str, str]:
    return {name: _version(name) for name in _PACKAGES}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        # Run from its source: the package knows its own version.
        return str(getattr(__import__(name), "__version__", "unknown"))


def _processor() -> str:
    if _CPU_INFO.exists():
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
        named = next((line for line in lines if line.startswith("model name")), "")
        if named:
            return named.partition(":")[2].strip()
    return platform.processor() or platform.machine()
