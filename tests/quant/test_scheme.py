"""Codes allowed by a scheme, and its JSON form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxq.errors import UsageError
from onnxq.quant import PerBlock, PerChannel, PerTensor, QType, Scheme

granularities = st.one_of(
    st.builds(PerTensor),
    st.builds(PerChannel, st.integers(-4, 4)),
    st.builds(PerBlock, st.integers(-4, 4), st.integers(1, 256)),
)
schemes = st.builds(
    Scheme,
    st.builds(QType, st.integers(2, 16), st.booleans()),
    granularities,
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=50, deadline=None)
@given(schemes)
def test_json_round_trip(scheme: Scheme) -> None:
    assert Scheme.from_dict(json.loads(json.dumps(scheme.to_dict()))) == scheme


def test_narrow_range_drops_the_lowest_code() -> None:
    wide = Scheme(QType(8, True))
    narrow = Scheme(QType(8, True), narrow_range=True)
    assert (wide.minimum, wide.maximum) == (-128, 127)
    assert (narrow.minimum, narrow.maximum) == (-127, 127)
    assert Scheme(QType(4, False), narrow_range=True).minimum == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": None}, "key 'bits' is None; use an integer"),
        ({"bits": True}, "key 'bits' is True; use an integer"),
        ({"signed": 1}, "key 'signed' is 1; use true or false"),
        ({"granularity": "channel"}, "key 'granularity' is 'channel'; use an object"),
        ({"granularity": {"kind": "row"}}, "unknown kind 'row'; use tensor, channel or block"),
        ({"granularity": {"kind": 1}}, "key 'kind' is 1; use a string"),
        ({"granularity": {"kind": "channel"}}, "granularity: key 'axis' is missing"),
        ({"granularity": {"kind": "tensor", "axis": 0}}, "unknown key 'axis'"),
        ({"simmetric": True}, "scheme: unknown key 'simmetric'"),
    ],
)
def test_wrong_json_names_the_key(change: dict[str, Any], message: str) -> None:
    data = Scheme(QType(8, True)).to_dict() | change
    with pytest.raises(UsageError, match=message):
        Scheme.from_dict(data)
