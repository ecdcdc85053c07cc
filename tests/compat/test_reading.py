"""Whose configuration a file is tells its content."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxq.compat import read_any
from onnxq.compat.amct_reading import looks_like_amct
from onnxq.config import config_text, parse_config, read_yaml, with_command_line
from onnxq.errors import ConfigError

AMCT = "# a comment\nretrain_weight_quant_config: { arq_retrain: { dst_type: INT4 } }\n"
NNI = "config_list:\n- op_types: [Conv2d]\n"
LIST = "- op_types: [Conv2d]\n  op_names: [stem.conv]\n"
MIXED = "quant_config:\n  stem: {x_nbit: 8, w_nbit: 4}\n"
BASE = "Weight_bit: 4\nActivation_bit: 8\n"
GOLDEN = "quant_dtype: [INT8, INT8]\nper_channel: [false, true]\n"
OURS = "weights: {bits: 4}\n"


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("a.cfg", AMCT, "AMCT simple configuration"),
        ("a.yaml", AMCT, "AMCT simple configuration"),
        ("a.txt", AMCT, "AMCT simple configuration"),
        ("a.yaml", NNI, "NNI config_list"),
        ("a.yml", LIST, "NNI config_list"),
        ("a.txt", NNI, "NNI config_list"),
        ("a.yaml", MIXED, "QAT_Mixed dictionary"),
        ("a.yaml", BASE, "QAT-base dictionary"),
        ("a.json", '{\n\t"Weight_bit": 4\n}', "QAT-base dictionary"),
        ("a.py", "config = {'Weight_bit': 4}", "QAT-base dictionary"),
        (
            "a.yaml",
            GOLDEN,
            "options of MindSpore Golden Stick's SimulatedQuantizationAwareTraining",
        ),
        ("a.yaml", OURS, ""),
        ("a.json", '{"weights": {"bits": 4}}', ""),
        ("a.toml", "[weights]\nbits = 4\n", ""),
        ("a.yaml", "", ""),
    ],
)
def test_detection(shop, tmp_path, name, text, form):
    path = tmp_path / name
    path.write_text(text)
    assert read_any(path, shop.model).form == form


def test_our_own_files_are_read_as_ever(shop, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(OURS)
    found = read_any(path)
    assert found.config.weights.bits == 4
    assert found.origins["weights"] == f"{path}:1"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.yaml", "wights: {}", "unknown key 'wights'"),
        ("c.yaml", "a: [", "cannot be parsed"),
        ("c.md", "hello there", "no known kind of configuration"),
        ("c.py", "import os", "no known kind of configuration"),
        ("c.py", "config = {'Weight_bit': open('x')}", "no known kind of configuration"),
        ("c.cfg", "hello", "unknown field 'hello'"),
    ],
)
def test_errors_of_files(shop, tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_any(path, shop.model)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["c.yaml", "c.cfg", "c.txt"])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_any(tmp_path / name)


def test_the_model_may_be_a_path(digits, tmp_path):
    path = tmp_path / "c.cfg"
    path.write_text(AMCT)
    model = tmp_path / "model.onnx"
    model.write_bytes(digits.model.to_proto().SerializeToString())
    assert read_any(path, model).config.weights.bits == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("batch_num: 1", True),
        ("# x\n\nskip_layers: 'a'", True),
        ("weights: {}", False),
        ("", False),
    ],
)
def test_what_looks_like_amct(text, expected):
    assert looks_like_amct(text) is expected


def test_origins_are_lines_of_the_document(shop):
    text = AMCT + 'quant_skip_layers: "stem.conv"\n'
    found = shop.translated(text)
    assert found.origins["skip[0]"] == "x.cfg:3:20"
    assert found.origins["weights"] == "x.cfg:2:1"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.cfg", AMCT + "batch_num: 1"),
        ("a.yaml", NNI),
        ("a.yaml", NNI + "quantizer: QATQuantizer\nscheduler: cos\n"),
        ("a.yaml", MIXED + "scheduler: step\n"),
        *(("a.yaml", f"{BASE}scheduler: {x}\n") for x in ("plateau", "constant", "cosine")),
    ],
)
def test_the_command_line_and_yaml_can_go_on_top(shop, name, text):
    """Whatever is set in a translation survives being taken apart and put together again."""
    found = shop.translated(text, name)
    on_top = with_command_line(found.loaded, {"seed": 1}).config
    assert on_top == found.config.model_copy(update={"seed": 1})
    values, _ = read_yaml(config_text(found.config, Path()))
    assert parse_config(values) == found.config
