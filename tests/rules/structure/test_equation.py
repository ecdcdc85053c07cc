"""Einsum equations."""

from __future__ import annotations

import pytest

from onnxq.rules.structure.equation import Equation, parse


@pytest.mark.parametrize(
    ("text", "ranks", "operands", "result"),
    [
        ("bhid,bhjd->bhij", (4, 4), ("bhid", "bhjd"), "bhij"),
        (" b i d , d k -> b i k ", (3, 2), ("bid", "dk"), "bik"),
        ("ij,jk", (2, 2), ("ij", "jk"), "ik"),
        ("kj,ji", (2, 2), ("kj", "ji"), "ik"),
        ("...ij,...jk->...ik", (4, 4), ("abij", "abjk"), "abik"),
        ("...ij,...jk", (3, 3), ("aij", "ajk"), "aik"),
        ("...c,cd->...d", (3, 2), ("abc", "cd"), "abd"),
        ("ij->", (2,), ("ij",), ""),
    ],
)
def test_read(text, ranks, operands, result):
    assert parse(text, ranks) == Equation(operands, result)


@pytest.mark.parametrize(
    ("text", "ranks"),
    [
        ("ii->i", (2,)),
        ("ij,jk->ijj", (2, 2)),
        ("ij,jk->il", (2, 2)),
        ("ij,jk->ik", (3, 2)),
        ("ij,jk->ik", (2,)),
        ("...ij,...jk->...ik", (3, 4)),
        ("...ijk->ijk", (2,)),
    ],
)
def test_not_read(text, ranks):
    assert parse(text, ranks) is None
