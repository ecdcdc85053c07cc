import pytest

from onnxq.config import (
    Auto,
    Calibration,
    Entropy,
    Ifmr,
    Method,
    MinMax,
    MovingAverage,
    Mse,
    Percentile,
    parse_config,
)


def method_of(value: object) -> Method:
    return parse_config({"calibration": {"method": value}}).calibration.method


@pytest.mark.parametrize(
    "method", [Auto(), MinMax(), MovingAverage(), Percentile(), Entropy(), Mse(), Ifmr()]
)
def test_a_name_stands_for_the_method_with_its_defaults(method: Method) -> None:
    assert method_of(method.kind) == method
    assert method_of({"kind": method.kind}) == method
    assert method_of(method.model_dump()) == method
    assert method_of(method) == method


def test_settings_of_a_method() -> None:
    assert method_of({"kind": "percentile", "percentile": 99}) == Percentile(percentile=99.0)
    candidates = method_of(
        {"kind": "auto", "candidates": ["mse", {"kind": "entropy", "levels": 64}]}
    )
    assert candidates == Auto(candidates=(Mse(), Entropy(levels=64)))


def test_blocks_can_be_built_in_python() -> None:
    calibration = Calibration(data="images", method=Percentile(percentile=99.9))
    assert parse_config({"calibration": calibration}).calibration == calibration
