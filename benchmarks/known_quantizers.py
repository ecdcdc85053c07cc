"""The quantizers that are compared, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quantizer_tools import Own, Peer, Tool

OWN, QUICK, THOROUGH = "onnxq", "onnxq quick", "onnxq thorough"
INT4 = "onnxq int4, blocks of 32"
STATIC = "ORT static"
RAISED = "ORT static, opset 13"
PER_TENSOR = "ORT static, per tensor"
DYNAMIC = "ORT dynamic"
EIGHT_BIT = "ORT 8-bit weights"
NEAREST = "ORT int4, blocks of 32"
NNCF = "NNCF"
NNCF_TRANSFORMER = "NNCF, transformer"


def _weights_alone(kind: str) -> Peer:
    return Peer("peer_weights.py", ("--kind", kind), calibrates=False)


PEERS: Mapping[str, Tool] = {
    STATIC: Peer("peer_onnxruntime.py"),
    RAISED: Peer("peer_onnxruntime.py", ("--opset", "13")),
    PER_TENSOR: Peer("peer_onnxruntime.py", ("--per-tensor",)),
    DYNAMIC: _weights_alone("dynamic"),
    EIGHT_BIT: _weights_alone("8-bit"),
    NNCF: Peer("peer_nncf.py"),
    NNCF_TRANSFORMER: Peer("peer_nncf.py", ("--kind", "transformer")),
}
"""With 8 bits; static ones take u8 activations and s8 weights per channel if not said otherwise."""

INT4_PEERS: Mapping[str, Tool] = {
    NEAREST: _weights_alone("4-bit-32"),
    "ORT int4, blocks of 128": _weights_alone("4-bit-128"),
    "ORT int4 HQQ, blocks of 32": _weights_alone("4-bit-hqq-32"),
    "ORT int4 HQQ, blocks of 128": _weights_alone("4-bit-hqq-128"),
    "NNCF int4, blocks of 32": Peer("peer_nncf.py", ("--kind", "4-bit")),
}
"""Weights alone."""

INT4_OWN: Mapping[str, Tool] = {
    f"onnxq int4, blocks of {block}": Own(
        settings={
            "weights": {
                "bits": 4,
                "granularity": {"block": block},
                "signed": False,
                "symmetric": False,
                "rounding": "gptq",
            },
            "skip": [{"op_type": "Gather"}],
            "budget": {"min_speedup": None},
        }
    )
    for block in (32, 128)
}


def own_tools(*options: str) -> dict[str, Tool]:
    """The default command and its levels of effort, each with some more options."""
    levels = {
        f"{OWN} {level}": Own(options=(*options, "--effort", level), needs="--effort")
        for level in ("quick", "thorough")
    }
    return {OWN: Own(options=options), **levels}


def budgets(minima: Sequence[float]) -> dict[str, Tool]:
    """The default command under lower limits of the SQNR in dB."""
    return {
        f"{OWN}, at least {minimum:g} dB": Own(
            settings={"budget": {"metric": "sqnr", "minimum": minimum}}
        )
        for minimum in minima
    }
