"""Every option, default, setter and error of the Golden Stick document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onnxq.compat.documents import Document
from onnxq.compat.golden_stick import from_golden_stick
from onnxq.errors import ConfigError, OnnxqError
from onnxq.helpers import QuantDtype, SimulatedQuantizationAwareTraining

PAIRS = ("quant_delay", "quant_dtype", "per_channel", "symmetric", "narrow_range")
INT8 = QuantDtype.INT8


def options_of(config: dict[str, Any] | None = None) -> dict[str, Any]:
    return vars(SimulatedQuantizationAwareTraining(config).options)


@pytest.mark.parametrize("config", [None, {}])
def test_defaults_are_those_of_the_document(config: dict[str, Any] | None) -> None:
    assert options_of(config) == {
        "quant_delay": (0, 0),
        "quant_dtype": (INT8, INT8),
        "per_channel": (False, False),
        "symmetric": (False, False),
        "narrow_range": (False, False),
        "enable_fusion": False,
        "freeze_bn": 10_000_000,
        "bn_fold": False,
        "one_conv_fold": True,
    }


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("quant_delay", 3, (3, 3)),
        ("quant_delay", [3, 5], (3, 5)),
        ("quant_delay", (3,), (3, 3)),
        ("quant_dtype", INT8, (INT8, INT8)),
        ("quant_dtype", (INT8, INT8), (INT8, INT8)),
        ("per_channel", (False, True), (False, True)),
        ("per_channel", False, (False, False)),
        ("symmetric", True, (True, True)),
        ("symmetric", [False, True], (False, True)),
        ("narrow_range", (True, False), (True, False)),
        ("enable_fusion", True, True),
        ("freeze_bn", 7, 7),
        ("bn_fold", True, True),
        ("one_conv_fold", False, False),
    ],
)
def test_values_for_both_or_as_activation_and_weight(
    option: str, value: object, expected: object
) -> None:
    assert options_of({option: value})[option] == expected


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(
            (name, value)
            for name in ("bn_fold", "one_conv_fold", "enable_fusion")
            for value in (1, "yes", None)
        ),
        *(("freeze_bn", value) for value in (1.0, "1", None, True)),
        *(("quant_delay", value) for value in (1.0, "1", True, (1, 2.0), [None, 1])),
        *(("quant_dtype", value) for value in ("INT8", 8, (INT8, "INT8"))),
        *(
            (name, value)
            for name in ("per_channel", "symmetric", "narrow_range")
            for value in (1, "no", (False, 1))
        ),
    ],
)
def test_a_value_of_another_type_is_a_type_error(option: str, value: object) -> None:
    with pytest.raises(TypeError, match=option) as caught:
        options_of({option: value})
    assert isinstance(caught.value, OnnxqError)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("freeze_bn", -1),
        ("quant_delay", -1),
        ("quant_delay", (0, -1)),
        ("quant_delay", (-1, 0)),
        ("quant_dtype", QuantDtype.INT4),
        ("quant_dtype", (INT8, QuantDtype.INT4)),
        ("per_channel", True),
        ("per_channel", (True, False)),
        ("per_channel", [True, True]),
        *(
            (name, value)
            for name, value in zip(
                PAIRS, ([0, 0, 0], [INT8] * 3, [False] * 3, [True] * 3, [True] * 3), strict=True
            )
        ),
        *((name, []) for name in PAIRS),
    ],
)
def test_a_value_that_is_not_allowed_is_a_value_error(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=option) as caught:
        options_of({option: value})
    assert isinstance(caught.value, OnnxqError)


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'bn_fold'"):
        options_of({"bn_fald": True})


def test_the_config_must_be_a_dictionary() -> None:
    with pytest.raises(TypeError, match="config"):
        options_of([("bn_fold", True)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("setter", "value", "option", "expected"),
    [
        ("set_act_narrow_range", True, "narrow_range", (True, False)),
        ("set_act_per_channel", False, "per_channel", (False, False)),
        ("set_act_quant_delay", 4, "quant_delay", (4, 0)),
        ("set_act_quant_dtype", INT8, "quant_dtype", (INT8, INT8)),
        ("set_act_symmetric", True, "symmetric", (True, False)),
        ("set_bn_fold", True, "bn_fold", True),
        ("set_enable_fusion", True, "enable_fusion", True),
        ("set_freeze_bn", 9, "freeze_bn", 9),
        ("set_one_conv_fold", False, "one_conv_fold", False),
        ("set_weight_narrow_range", True, "narrow_range", (False, True)),
        ("set_weight_per_channel", True, "per_channel", (False, True)),
        ("set_weight_quant_delay", 4, "quant_delay", (0, 4)),
        ("set_weight_quant_dtype", INT8, "quant_dtype", (INT8, INT8)),
        ("set_weight_symmetric", True, "symmetric", (False, True)),
    ],
)
def test_setters(setter: str, value: object, option: str, expected: object) -> None:
    training = SimulatedQuantizationAwareTraining()
    getattr(training, setter)(value)
    assert vars(training.options)[option] == expected
    others = {name: v for name, v in vars(training.options).items() if name != option}
    assert others == {name: v for name, v in options_of().items() if name != option}


@pytest.mark.parametrize(
    ("setter", "value", "error"),
    [
        ("set_act_narrow_range", 1, TypeError),
        ("set_act_per_channel", "no", TypeError),
        ("set_act_per_channel", True, ValueError),
        ("set_act_quant_delay", 1.5, TypeError),
        ("set_act_quant_delay", -1, ValueError),
        ("set_act_quant_dtype", "INT8", TypeError),
        ("set_act_quant_dtype", QuantDtype.UINT8, ValueError),
        ("set_act_symmetric", 0, TypeError),
        ("set_bn_fold", None, TypeError),
        ("set_enable_fusion", 1, TypeError),
        ("set_freeze_bn", 1.0, TypeError),
        ("set_freeze_bn", -5, ValueError),
        ("set_one_conv_fold", "True", TypeError),
        ("set_weight_narrow_range", 1, TypeError),
        ("set_weight_per_channel", 1, TypeError),
        ("set_weight_quant_delay", "3", TypeError),
        ("set_weight_quant_delay", -3, ValueError),
        ("set_weight_quant_dtype", 8, TypeError),
        ("set_weight_quant_dtype", QuantDtype.INT4, ValueError),
        ("set_weight_symmetric", 1, TypeError),
    ],
)
def test_setters_refuse(setter: str, value: object, error: type[Exception]) -> None:
    training = SimulatedQuantizationAwareTraining()
    before = training.options
    call: Callable[[object], None] = getattr(training, setter)
    with pytest.raises(error, match=setter.removeprefix("set_")):
        call(value)
    assert training.options == before


def test_options_in_a_file_become_a_configuration() -> None:
    values = {"symmetric": [False, True], "per_channel": [False, True], "quant_dtype": "INT8"}
    found = from_golden_stick(Document(values, "x.yaml", {"symmetric": "x.yaml:3"}))
    weights, activations = found.config.weights, found.config.activations
    assert (weights.bits, weights.symmetric, weights.granularity) == (8, True, "channel")
    assert (activations.bits, activations.symmetric) == (8, False)
    assert found.origins["weights.symmetric"] == "x.yaml:3"
    assert not found.warnings


def test_a_file_says_what_it_cannot_have() -> None:
    found = from_golden_stick(Document({"quant_delay": 5, "bn_fold": True}, "x.yaml"))
    assert len(found.warnings) == 2
    assert "quant_delay" in found.warnings[0] and "bn_fold" in found.warnings[1]


def test_a_wrong_option_in_a_file_is_an_error_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml:2.*freeze_bn.*less than 0"):
        from_golden_stick(Document({"freeze_bn": -1}, "x.yaml", {"freeze_bn": "x.yaml:2"}))
