import json
import subprocess
import sys
from pathlib import Path

import pytest

from onnxq.config import (
    Config,
    Glob,
    Name,
    Percentile,
    load_config,
    parse_config,
    read_config,
    with_command_line,
)
from onnxq.errors import ConfigError

YAML = """\
target: ort-cpu
weights:
  bits: 4
  granularity: {block: 32}
calibration:
  method: {kind: percentile, percentile: 99.9}
budget: {max_drop: 1e-3}
skip: [conv1, {glob: "*head*"}]
"""
TOML = """\
target = "ort-cpu"
skip = ["conv1", { glob = "*head*" }]
[weights]
bits = 4
granularity = { block = 32 }
[calibration]
method = { kind = "percentile", percentile = 99.9 }
[budget]
max_drop = 1e-3
"""
JSON = json.dumps(
    {
        "target": "ort-cpu",
        "weights": {"bits": 4, "granularity": {"block": 32}},
        "calibration": {"method": {"kind": "percentile", "percentile": 99.9}},
        "budget": {"max_drop": 1e-3},
        "skip": ["conv1", {"glob": "*head*"}],
    }
)


def written(directory: Path, text: str, name: str = "c.yaml") -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def error_of(directory: Path, text: str, name: str = "c.yaml") -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(written(directory, text, name))
    return str(caught.value).replace(f"{directory}/", "")


@pytest.mark.parametrize(
    ("name", "text"),
    [("c.yaml", YAML), ("c.YML", YAML), ("c.toml", TOML), ("c.json", JSON), ("c.yml", JSON)],
)
def test_every_kind_of_file_says_the_same(tmp_path: Path, name: str, text: str) -> None:
    config = load_config(written(tmp_path, text, name))
    assert config.weights.bits == 4
    assert config.weights.model_dump(exclude_none=True)["granularity"] == {"block": 32}
    assert config.calibration.method == Percentile(percentile=99.9)
    assert config.budget.max_drop == 1e-3
    assert config.skip == (Name(name="conv1"), Glob(glob="*head*"))


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "{}"])
def test_an_empty_file_gives_the_defaults(tmp_path: Path, text: str) -> None:
    assert load_config(written(tmp_path, text)) == Config()


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    for name, text in (("c.json", "{}"), ("c.toml", ""), ("c.yaml", "seed: 0")):
        assert load_config(written(tmp_path, f"\ufeff{text}", name)) == Config()


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "+1e-3", "1.0e-3", "0.001", ".1e-2", "1.e-3"])
def test_yaml_reads_every_spelling_of_a_number(tmp_path: Path, number: str) -> None:
    path = written(tmp_path, f"budget: {{max_drop: {number}}}")
    assert load_config(path).budget.max_drop == 0.001


def test_unknown_key_names_the_line_and_the_nearest(tmp_path: Path) -> None:
    message = error_of(tmp_path, "seed: 1\nweights:\n  bts: 8\n")
    assert message == (
        "c.yaml:3: weights.bts: unknown key 'bts'; did you mean 'bits'? known keys: bits, signed, "
        "symmetric, narrow_range, power_of_two, scales, granularity, search, rounding"
    )


def test_unknown_key_outside_yaml_names_the_file(tmp_path: Path) -> None:
    assert error_of(tmp_path, "[weights]\nbts = 8\n", "c.toml").startswith("c.toml: weights.bts: ")
    assert error_of(tmp_path, '{"sede": 1}', "c.json").startswith("c.json: sede: unknown key")


@pytest.mark.parametrize(
    ("name", "place", "text"),
    [
        ("c.yaml", "c.yaml:3", "weights: {bits: 8}\nseed: 1\nweights: {bits: 4}\n"),
        ("c.json", "c.json", '{"weights": {}, "weights": {}}'),
        ("c.yaml", "c.yaml:3", "calibration:\n  weights: 1\n  weights: 1\n"),
    ],
)
def test_a_key_given_twice_is_refused(tmp_path: Path, name: str, place: str, text: str) -> None:
    message = error_of(tmp_path, text, name)
    assert message.startswith(f"{place}: configuration cannot be parsed; key 'weights' is given t")


def test_toml_refuses_a_key_given_twice(tmp_path: Path) -> None:
    assert "cannot be parsed" in error_of(tmp_path, "seed = 1\nseed = 2\n", "c.toml")


def test_yaml_merges_are_no_duplicates(tmp_path: Path) -> None:
    text = "weights: &w {bits: 4, signed: true}\nfirst_layer: {weights: {<<: *w, bits: 8}}\n"
    rule = load_config(written(tmp_path, text)).first_layer
    assert rule is not None
    assert rule.weights is not None
    assert (rule.weights.bits, rule.weights.signed) == (8, True)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("c.yaml", "a: [", "cannot be parsed"),
        ("c.yaml", "- 1", "not a mapping"),
        ("c.yaml", "a: 1\n---\nb: 1", "cannot be parsed"),
        ("c.yaml", "? [1, 2]\n: 3", "cannot be parsed"),
        ("c.yaml", "!!python/object/apply:os.getcwd []", "cannot be parsed"),
        ("c.yaml", "weights: &w\n  bits: *w\n", "weights.bits: must be an integer"),
        ("c.yaml", "skip: &s [*s]\n", "skip[0]: must be a name"),
        ("c.yaml", "1: 2", "keys must be text, here 1; put it in quotes"),
        ("c.yaml", "[" * 3000, "cannot be parsed"),
        ("c.json", "[" * 100_000, "cannot be parsed"),
        ("c.json", "{", "cannot be parsed"),
        ("c.json", "null", "not a mapping"),
        ("c.json", '{"budget": {"minimum": NaN}}', "must be a finite number"),
        ("c.toml", "a =", "cannot be parsed"),
        ("c.ini", "", "unknown kind of configuration file; use one of .yaml, .yml, .toml, .json"),
    ],
)
def test_what_is_no_configuration_is_refused(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    assert reason in error_of(tmp_path, text, name)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigError, match="cannot be parsed"):
        load_config(path)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: configuration cannot be read; No such"):
        load_config("nowhere.yaml")


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    text = """\
target: engines/mine.toml
calibration: {data: images}
evaluate: {data: ../test.npz, labels: labels.csv}
"""
    config = load_config(written(tmp_path, text))
    assert config.target == str(tmp_path / "engines/mine.toml")
    assert config.calibration.data == str(tmp_path / "images")
    assert config.evaluate.data == str(tmp_path / "../test.npz")
    assert config.evaluate.labels == str(tmp_path / "labels.csv")


def test_what_is_no_relative_path_stays(tmp_path: Path) -> None:
    text = """\
target: ort-cpu
calibration: {data: "package.module:make_feeds"}
evaluate: {data: /data/test.npz, labels: labels.v2, metric: "module:score"}
"""
    config = load_config(written(tmp_path, text))
    assert config.target == "ort-cpu"
    assert config.calibration.data == "package.module:make_feeds"
    assert config.evaluate.data == "/data/test.npz"
    assert config.evaluate.labels == "labels.v2"


def test_the_home_folder_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    config = load_config(written(tmp_path, "calibration: {data: ~/images}"))
    assert config.calibration.data == "/home/someone/images"


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, YAML)
    loaded = read_config(
        path, {"weights.bits": 8, "calibration.data": "here", "seed": 3, "threads": None}
    )
    assert loaded.config.weights.bits == 8
    assert loaded.config.calibration.data == "here"
    assert loaded.config.calibration.method == Percentile(percentile=99.9)
    assert loaded.config.seed == 3
    assert loaded.origins["weights.bits"] == loaded.origins["seed"] == "command line"
    assert loaded.origins["calibration.method.percentile"] == f"{path}:6"
    assert "threads" not in loaded.origins


def test_the_command_line_alone() -> None:
    loaded = read_config(None, {"weights.granularity.block": 16})
    assert loaded.origins == {"weights.granularity.block": "command line"}
    assert loaded.config.weights.model_dump(exclude_none=True)["granularity"] == {"block": 16}
    assert read_config(None).config == Config()


def test_the_command_line_replaces_values_of_another_form(tmp_path: Path) -> None:
    path = written(tmp_path, "weights: {granularity: channel}\nfirst_layer: null\n")
    loaded = read_config(path, {"weights.granularity.block": 16, "first_layer.keep_float": True})
    assert loaded.config.weights.model_dump(exclude_none=True) == {"granularity": {"block": 16}}
    assert loaded.config.first_layer is not None
    replaced = read_config(written(tmp_path, YAML), {"calibration.method": "mse"})
    assert replaced.config.calibration.method.kind == "mse"
    assert [k for k in replaced.origins if "method" in k] == ["calibration.method"]


def test_errors_on_the_command_line_say_so(tmp_path: Path) -> None:
    path = written(tmp_path, "calibration: {data: images}")
    with pytest.raises(ConfigError, match=r"^command line: weights\.bits: must be less than or"):
        read_config(path, {"weights.bits": 99})
    with pytest.raises(ConfigError, match="exclude each other"):
        read_config(path, {"calibration.random": True})
    with pytest.raises(ConfigError, match=r"^command line: weights\.bts: unknown key"):
        read_config(path, {"weights.bts": 9})


def test_it_is_imported_quickly() -> None:
    program = (
        "import time; a = time.perf_counter(); import onnxq.config; print(time.perf_counter() - a)"
    )
    seconds = min(
        float(
            subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
        )
        for _ in range(3)
    )
    assert seconds < 0.6


def test_it_imports_nothing_heavy() -> None:
    program = "import sys, onnxq.config; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert not {"numpy", "onnx", "onnxruntime", "torch"} & set(run.stdout.decode().split())


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "1:30", "2020-01-01", "1_000"])
def test_words_that_yaml_1_1_would_change_stay_words(tmp_path: Path, word: str) -> None:
    assert load_config(written(tmp_path, f"skip: [{word}]")).skip == (Name(name=word),)


@pytest.mark.parametrize(
    ("number", "value"), [("010", 10), ("08", 8), ("0o17", 15), ("0x10", 16), ("+3", 3)]
)
def test_whole_numbers(tmp_path: Path, number: str, value: int) -> None:
    assert load_config(written(tmp_path, f"seed: {number}")).seed == value


def test_only_true_and_false_are_truth_values(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, "calibration: {random: True}")).calibration.random is True
    message = error_of(tmp_path, "calibration: {random: yes}")
    assert message == "c.yaml:1: calibration.random: must be true or false, here 'yes'"


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [("c.yaml", "seed: 1\nskip: [a\n", "c.yaml:3"), ("c.json", '{\n"seed": x}', "c.json:2")],
)
def test_a_text_that_cannot_be_parsed_names_the_line(
    tmp_path: Path, name: str, text: str, place: str
) -> None:
    message = error_of(tmp_path, text, name)
    assert message.startswith(f"{place}: configuration cannot be parsed; ")
    assert "unicode string" not in message


def test_a_mapping_has_its_paths_and_errors_placed_on_request(tmp_path: Path) -> None:
    values = {"calibration": {"data": "x.npz"}}
    assert parse_config(values).calibration.data == "x.npz"
    moved = parse_config(values, base_dir=tmp_path)
    assert moved.calibration.data == str(tmp_path / "x.npz")
    with pytest.raises(ConfigError, match=r"^trial 3: sed: unknown key 'sed'; did you mean 'seed'"):
        parse_config({"sed": 1}, origin="trial 3")


def test_setting_values_leaves_the_loaded_configuration_as_it_is(tmp_path: Path) -> None:
    loaded = read_config(written(tmp_path, "seed: 1"))
    changed = with_command_line(loaded, {"seed": 2, "calibration.method": "mse", "threads": None})
    assert (loaded.config.seed, changed.config.seed) == (1, 2)
    assert loaded.origins["seed"].endswith("c.yaml:1")
    assert changed.origins["seed"] == changed.origins["calibration.method"] == "command line"
    assert with_command_line(loaded, {"threads": None}) is loaded
