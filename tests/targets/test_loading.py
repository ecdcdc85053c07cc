"""Bundled targets, and targets of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxq.errors import ConfigError
from onnxq.targets import Arithmetic, Compute, load_target, target_names

NAMES = target_names()


def written(folder: Path, text: str, name: str = "own.toml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_every_bundled_target_loads(name):
    target = load_target(name)
    assert target.name == name
    assert target.summary
    assert any(isinstance(rule, Compute) for rule in target.operators.values())
    assert target.operators.keys().isdisjoint(target.never), "a rule and a reason against it"


@pytest.mark.parametrize("name", NAMES)
def test_requirements_know_the_default_of_each_attribute(name):
    for op, rule in load_target(name).operators.items():
        assert rule.require.keys() <= rule.defaults.keys(), op


@pytest.mark.parametrize("name", NAMES)
def test_a_processor_condition_names_another_target(name):
    processor = load_target(name).processor
    assert processor is None or processor.otherwise in NAMES


def test_bundled_targets():
    assert {"openvino", "ort-cpu", "ort-cpu-avx2", "qnn", "tensorrt"} <= set(NAMES)


def test_weights_without_vnni_have_7_bits_and_all_else_is_inherited():
    plain, narrow = load_target("ort-cpu"), load_target("ort-cpu-avx2")
    assert (plain.weights.bits, narrow.weights.bits) == (8, 7)
    assert narrow.weights.model_dump(exclude={"bits"}) == plain.weights.model_dump(exclude={"bits"})
    assert narrow.operators == plain.operators
    assert narrow.never == plain.never
    assert narrow.measurable


def test_tensorrt_has_zero_points_of_zero_and_float_biases():
    target = load_target("tensorrt")
    assert target.activations.signed
    assert target.activations.symmetric
    assert target.bias == "float"
    assert not target.measurable


def test_a_target_of_ones_own_gives_only_what_differs(tmp_path):
    path = written(
        tmp_path,
        'extends = "ort-cpu"\nname = "mine"\nbias = "float"\n[activations]\nbits = 16\n'
        '[operators.Conv]\noutput = "never"\n',
    )
    mine, base = load_target(path), load_target("ort-cpu")
    assert (mine.name, mine.bias, mine.activations.bits) == ("mine", "float", 16)
    conv, before = mine.operators["Conv"], base.operators["Conv"]
    assert isinstance(conv, Compute)
    assert isinstance(before, Compute)
    assert conv == before.model_copy(update={"output": "never"})
    assert mine.operators["Add"] == base.operators["Add"]


def test_a_rule_of_another_role_replaces_the_inherited_one(tmp_path):
    text = 'extends = "ort-cpu"\n[operators.MatMul]\nrole = "arithmetic"\nwhen = "always"\n'
    rule = load_target(written(tmp_path, text)).operators["MatMul"]
    assert rule == Arithmetic(role="arithmetic", when="always")


def test_an_extended_file_is_looked_for_beside_the_one_that_extends_it(tmp_path, monkeypatch):
    written(tmp_path, 'extends = "qnn"\nname = "base"\n', "base.toml")
    path = written(tmp_path, 'extends = "base.toml"\nsummary = "top"\n', "top.toml")
    monkeypatch.chdir("/")
    target = load_target(path)
    assert (target.name, target.summary) == ("base", "top")
    assert target.operators == load_target("qnn").operators


def test_a_changed_file_is_read_again(tmp_path):
    path = written(tmp_path, 'extends = "ort-cpu"\nname = "one"\n')
    assert load_target(path).name == "one"
    written(tmp_path, 'extends = "ort-cpu"\nname = "two"\n')
    assert load_target(path).name == "two"


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown target 'tensorr'.*did you mean 'tensorrt'"):
        load_target("tensorr")
    with pytest.raises(ConfigError, match=r"unknown target 'xyz'; choose one of .*ort-cpu"):
        load_target("xyz")


BAD = {
    "unknown-key": ('extends = "ort-cpu"\nbitz = 8\n', r"own\.toml: bitz"),
    "unknown-rule-key": ('extends = "ort-cpu"\n[operators.Conv]\nbiass = 2\n', "operators.Conv"),
    "bad-role": ('extends = "ort-cpu"\n[operators.Conv]\nrole = "magic"\n', "operators.Conv"),
    "incomplete": ('name = "mine"\n', "own.toml: summary"),
    "not-toml": ("name = = 3\n", "is not TOML"),
    "bad-extends": ("extends = 3\n", "`extends` is not a name"),
    "itself": ('extends = "own.toml"\n', "extends itself"),
    "extends-unknown": ('extends = "ort-cup"\n', "did you mean 'ort-cpu'"),
    "extends-missing": ('extends = "missing.toml"\n', "cannot be read.*No such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_says_where_and_why(name, tmp_path):
    text, expected = BAD[name]
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=expected):
        load_target(path)


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "own.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_target(str(path))


def test_a_circle_of_two_is_shown(tmp_path):
    written(tmp_path, 'extends = "b.toml"\n', "a.toml")
    written(tmp_path, 'extends = "a.toml"\n', "b.toml")
    with pytest.raises(ConfigError, match=r"a\.toml extends .*b\.toml extends .*a\.toml"):
        load_target(str(tmp_path / "a.toml"))


def test_only_matrix_products_find_ranges_at_run_time(tmp_path):
    text = 'extends = "ort-cpu"\nname = "own"\n[operators.Conv]\ndynamic = true\n'
    with pytest.raises(ConfigError, match=r"Conv\.dynamic: only MatMul and Gemm can be"):
        load_target(written(tmp_path, text))
    assert load_target("ort-cpu").operators["MatMul"].dynamic is True
    assert "slower" in load_target("ort-cpu").operators["Conv"].dynamic
