"""When a simplified file counts as slower, behind another, or lost.

A speed-up is a median with a 95 % interval. A file is slower than the input if its whole interval
lies below 1 and below that of the control, the input's own second session. It is behind another
file if its whole interval lies below the other's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from judge_simplified import CONTROL
from peer_simplifiers import OWN

Figures = Mapping[str, Any]
"""What judge_simplified.py says about one file."""

PEERS = ("onnxsim", "onnxslim")
LEAST_SQNR = 80.0
WIDEST_CONTROL = 0.1


def is_slower(judged: Mapping[str, Figures], name: str) -> bool:
    """Whether a file is slower than the input by more than noise."""
    high = judged.get(name, {}).get("high")
    return high is not None and bool(high < min(1.0, judged[CONTROL]["low"]))


def is_rival(judged: Mapping[str, Figures], peer: str) -> bool:
    """Whether both files run and a peer's is right: a wrong one may be as fast as it likes."""
    if any("speedup" not in judged.get(name, {}) for name in (OWN, peer)):
        return False
    return not is_wrong(judged[peer])


def is_beaten(judged: Mapping[str, Figures], peer: str) -> bool:
    """Whether our file is slower than a rival's by more than noise."""
    return is_rival(judged, peer) and bool(judged[OWN]["high"] < judged[peer]["low"])


def is_behind(judged: Mapping[str, Figures]) -> bool:
    """Whether our file is slower than the input or than any peer's."""
    return is_slower(judged, OWN) or any(is_beaten(judged, peer) for peer in PEERS)


def is_noisy(judged: Mapping[str, Figures]) -> bool:
    """Whether the machine was too busy for this timing to tell anything."""
    control = judged[CONTROL]
    return bool(control["high"] - control["low"] > WIDEST_CONTROL)


def is_wrong(figures: Figures) -> bool:
    """Whether a file does not run, or gives other outputs."""
    return "failure" in figures or figures.get("sqnr", LEAST_SQNR) < LEAST_SQNR


def faults(row: Mapping[str, Any]) -> list[str]:
    """What must not happen and did, for our file of one model."""
    judged = row["judged"]
    if "error" in judged:
        return [judged["error"]]
    if OWN not in judged:
        return [f"no file: {row['produced'][OWN]['remark']}"] if OWN in row["produced"] else []
    own = judged[OWN]
    found = []
    if is_wrong(own):
        found.append(own.get("failure") or f"{own['sqnr']} dB at {own['worst_output']}")
    if not own.get("inputs_kept", True):
        found.append("other input shapes")
    if is_slower(judged, OWN):
        found.append(f"slower: {own['speedup']:.3f}")
    return found
