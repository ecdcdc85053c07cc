"""Scale and zero point as a value: checks, equality and JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onnxq.errors import UsageError
from onnxq.quant import PerBlock, PerChannel, PerTensor, QParams, QType, Scheme, qparams_of

RANDOM = np.random.default_rng(7)


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(1), PerBlock(0, 2)])
def test_json_round_trip_keeps_every_bit(
    bits: int, granularity: PerTensor | PerChannel | PerBlock
) -> None:
    scheme = Scheme(QType(bits, False), granularity)
    array = RANDOM.standard_normal((5, 3)) * 10.0 ** RANDOM.integers(-30, 30, (5, 3))
    before = qparams_of(scheme, array.astype(np.float32))
    after = QParams.from_dict(json.loads(json.dumps(before.to_dict())))
    assert after == before
    assert after.scale.tobytes() == before.scale.tobytes()
    assert after.zero_point.dtype == before.zero_point.dtype


def test_equality_looks_at_scheme_and_numbers() -> None:
    scheme = Scheme(QType(8, True))
    one = QParams(scheme, np.array(1, np.float32), np.array(0, np.int8))
    assert one == QParams(scheme, np.array(1, np.float32), np.array(0, np.int8))
    assert one != QParams(scheme, np.array(2, np.float32), np.array(0, np.int8))
    assert one != QParams(scheme, np.array(1, np.float32), np.array(1, np.int8))
    assert one != QParams(
        Scheme(QType(8, True), symmetric=True), np.array(1, np.float32), np.array(0, np.int8)
    )
    assert one != "parameters"
    assert hash(one) == hash(QParams(scheme, np.array(1, np.float32), np.array(0, np.int8)))


@pytest.mark.parametrize(
    ("scale", "zero_point", "message"),
    [
        (np.array(1, np.float64), np.array(0, np.int8), "use float32 and int8"),
        (np.array(1, np.float32), np.array(0, np.uint8), "zero point uint8"),
        (np.array([1], np.float32), np.array(0, np.int8), "differ in shape"),
        (np.array(0, np.float32), np.array(0, np.int8), "not positive and finite"),
        (np.array(np.nan, np.float32), np.array(0, np.int8), "not positive and finite"),
        (np.array(np.inf, np.float32), np.array(0, np.int8), "not positive and finite"),
    ],
)
def test_wrong_numbers_are_refused(scale: np.ndarray, zero_point: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        QParams(Scheme(QType(8, True)), scale, zero_point)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("scale", [[1.0], [1.0, 2.0]], "key 'scale' is not a number"),
        ("scale", "one", "key 'scale' is not a number"),
        ("scale", 1e300, "not positive and finite"),
        ("zero_point", 300, "use integers from -128 to 127"),
        ("zero_point", 0.5, "use integers from -128 to 127"),
        ("zero_point", None, "use integers from -128 to 127"),
        ("extra", 1, "unknown key 'extra'"),
    ],
)
def test_wrong_json_is_refused(key: str, value: object, message: str) -> None:
    good = QParams(Scheme(QType(8, True)), np.array(1, np.float32), np.array(0, np.int8))
    with pytest.raises(UsageError, match=message):
        QParams.from_dict(good.to_dict() | {key: value})
