from typing import Any

import pytest

from onnxq.config import Calibration, Config, Mse, Preprocessing, parse_config
from onnxq.errors import ConfigError


def message_of(values: dict[str, object]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target": 3}, "target: must be text, here 3; put it in quotes"),
        ({"seed": "1"}, "seed: must be an integer, here '1'; leave the quotes out"),
        ({"budget": {"max_drop": "1e-3"}}, "must be a number, here '1e-3'; leave the quotes out"),
        ({"weights": {"signed": "true"}}, "must be true or false, here 'true'; leave the quotes"),
        ({"seed": True}, "seed: must be an integer, here true"),
        ({"seed": 1.5}, "seed: must be an integer, here 1.5"),
        ({"seed": -1}, "seed: must be greater than or equal to 0, here -1"),
        ({"seed": 10**5000}, "seed: must be less than 9223372036854775808, here a huge integer"),
        ({"weights": None}, "weights: must be a mapping of keys, here null; leave the key out for"),
        ({"weights": [8]}, "weights: must be a mapping of keys, here a list of 1"),
        ({"weights": {"bits": 8.0}}, "weights.bits: must be an integer, here 8.0"),
        ({"weights": {"signed": 1}}, "weights.signed: must be true or false, here 1"),
        ({"weights": {"bits": 1}}, "weights.bits: must be greater than or equal to 2, here 1"),
        (
            {"weights": {"granularity": "chanel"}},
            "weights.granularity: must be 'tensor' or 'channel' or a mapping of keys, "
            "here 'chanel'; did you mean 'channel'?",
        ),
        (
            {"weights": {"granularity": {"block": 1}}},
            "weights.granularity.block: must be greater than or equal to 2, here 1",
        ),
        ({"skip": "conv1"}, "skip: must be a list, here 'conv1'"),
        ({"skip": ["a" * 99, 3]}, "skip[1]: must be a name, or a mapping with one key of name, "),
        ({"skip": [{"glob": 3}]}, "skip[0].glob: must be text, here 3; put it in quotes"),
        ({"skip": [{"regex": "("}]}, "skip[0].regex: '(' is not a regular expression: missing )"),
        ({"overrides": [{"bias": "float"}]}, "overrides[0].match: is missing"),
        (
            {"overrides": [{"match": "a", "weigths": {}}]},
            "overrides[0].weigths: unknown key 'weigths'; did you mean 'weights'? known keys: "
            "weights, activations, reads, bias, keep_float, match",
        ),
        (
            {"calibration": {"method": "entropie"}},
            "calibration.method: must be one of 'auto', 'min-max', 'moving-average', 'percentile', "
            "'entropy', 'mse', 'ifmr', here 'entropie'; did you mean 'entropy'?",
        ),
        (
            {"calibration": {"method": {"percentile": 99}}},
            "calibration.method: must be the name of a method or a mapping with the key `kind`",
        ),
        (
            {"calibration": {"method": {"kind": "percentile", "percentil": 99}}},
            "calibration.method.percentil: unknown key 'percentil'; did you mean 'percentile'? "
            "known keys: kind, percentile",
        ),
        (
            {
                "calibration": {
                    "method": {"kind": "auto", "candidates": ["mse", {"kind": "ifmr", "x": 1}]}
                }
            },
            "calibration.method.candidates[1].x: unknown key 'x'; known keys: kind, percentile, "
            "start, end, step",
        ),
        (
            {"calibration": {"method": {"kind": "ifmr", "start": 2.0}}},
            "calibration.method: `start` (2.0) is above `end` (1.3)",
        ),
        (
            {"calibration": {"method": {"kind": "auto", "candidates": []}}},
            "calibration.method.candidates: must be a list of at least 1, here a list of 0",
        ),
        (
            {"calibration": {"data": "x", "random": True}},
            "calibration: `random: true` and `data` exclude each other; leave one of them out",
        ),
        (
            {"calibration": {"preprocessing": {"resize": [224, "x"]}}},
            "calibration.preprocessing.resize[1]: must be an integer, here 'x'",
        ),
        (
            {"calibration": {"preprocessing": {"crop": [1, 2, 3]}}},
            "calibration.preprocessing.crop: must be a list of at most 2, here a list of 3",
        ),
        (
            {"calibration": {"preprocessing": {"std": [1.0, 0.0]}}},
            "calibration.preprocessing.std: a standard deviation of 0 divides by zero",
        ),
        ({"evaluate": {"labels": "y"}}, "evaluate: `labels` without `data`: say which inputs they"),
        ({"evaluate": {"metric": "top-0"}}, "evaluate.metric: 'top-0' is none of top-1, top-5, "),
        ({"evaluate": {"metric": "f1"}}, "evaluate.metric: 'f1' is none of top-1, top-5, mse, mod"),
        ({"budget": {"max_drop": float("inf")}}, "budget.max_drop: must be a finite number, here"),
        (
            {"weights": {"granularity": {"block": 33}}},
            "weights.granularity.block: must be a power of two, such as 32 or 64, here 33",
        ),
        (
            {"activations": {"granularity": "channel"}},
            "activations.granularity: unknown key 'granularity'; activations have one scale per "
            "tensor; known keys: bits, ",
        ),
        (
            {"calibration": {"preprocessing": {"resize": [224, 200], "crop": [224, 224]}}},
            "calibration.preprocessing: `crop` [224, 224] is larger than `resize` [224, 200]",
        ),
        (
            {"budget": {"metric": "sqnr", "max_drop": 3}},
            "budget: `max_drop` says nothing about sqnr, which is infinite for the input model; "
            "set `minimum` (dB)",
        ),
        (
            {"budget": {"metric": "agreement", "minimum": 99}},
            "budget: agreement lies between 0 and 1; `minimum` is 99",
        ),
        (
            {"budget": {"metric": "cosine", "max_drop": 3}},
            "budget: cosine cannot drop by 3: it lies between -1 and 1",
        ),
        (
            {"budget": {"metric": "accuracy", "max_drop": 5}},
            "configuration: `budget.max_drop` is 5, but accuracy lies between 0 and 1: 5 % is 0.05",
        ),
        (
            {"budget": {"minimum": 76}, "evaluate": {"data": "a", "labels": "y"}},
            "configuration: `budget.minimum` is 76, but accuracy lies between 0 and 1",
        ),
        ({"first-layer": {}}, "first-layer: unknown key 'first-layer'; did you mean 'first_layer'"),
        ({"": 1}, "unknown key ''"),
    ],
)
def test_messages(values: dict[str, object], message: str) -> None:
    assert message in message_of(values)


def test_several_problems_are_one_error() -> None:
    message = message_of({"seed": "x", "weights": {"bits": 99, "bts": 1}})
    head, *lines = message.splitlines()
    assert head == "3 problems in the configuration"
    assert [line.split(":")[0].strip() for line in lines] == [
        "weights.bits",
        "weights.bts",
        "seed",
    ]


def test_the_error_asks_for_exit_code_2() -> None:
    assert ConfigError.exit_code == 2
    assert "here 'xxx" in message_of({"seed": "x" * 1000})
    assert len(message_of({"seed": "x" * 1000})) < 120


@pytest.mark.parametrize(
    "values",
    [
        {"budget": {"max_drop": 0.5, "minimum": 0.7, "metric": "accuracy"}},
        {"budget": {"max_drop": 5}, "evaluate": {"data": "a", "labels": "y", "metric": "mse"}},
        {"budget": {"minimum": 12.0, "metric": "sqnr"}},
        {"budget": {"max_drop": 3}},
        {"calibration": {"preprocessing": {"resize": 256, "crop": [224, 224]}}},
    ],
)
def test_limits_that_can_be_judged_are_accepted(values: dict[str, object]) -> None:
    parse_config(values)


def test_python_takes_mappings_and_blocks_alike() -> None:
    blocks = Config(calibration=Calibration(samples=3, method=Mse()))
    settings: dict[str, Any] = {"calibration": {"samples": 3, "method": "mse"}}
    assert blocks == Config(**settings) == parse_config(settings)


@pytest.mark.parametrize(
    "settings", [{"calibration": {"methd": "mse"}, "seed": -1}, {"wieghts": {}}, {"seed": "1"}]
)
def test_python_gets_the_same_errors_as_a_file(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**settings)
    assert str(caught.value) == message_of(settings)


def test_a_block_alone_tells_its_errors_too() -> None:
    sizes: dict[str, Any] = {"sizes": 3}
    with pytest.raises(ConfigError, match=r"^sizes: unknown key 'sizes'.*known keys: color, "):
        Preprocessing(**sizes)
