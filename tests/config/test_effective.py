from pathlib import Path

from onnxq.config import LoadedConfig, effective, read_config

TEXT = """\
weights:
  bits: null
  signed: true
  granularity: {block: 32}
calibration:
  method: percentile
  preprocessing: {resize: [224, 224]}
overrides:
  - match: {glob: "/head/*"}
    weights: {bits: 4}
skip: [conv1]
first_layer: {keep_float: true}
"""
DEFAULTS = {"weights.bits": 8, "weights.signed": False, "weights.symmetric": True, "bias": "int32"}


def loaded_from(directory: Path, **command_line: object) -> LoadedConfig:
    path = directory / "c.yaml"
    path.write_text(TEXT)
    return read_config(path, {key.replace("__", "."): v for key, v in command_line.items()})


def settings_of(loaded: LoadedConfig, directory: Path) -> dict[str, tuple[object, str]]:
    settings = effective(loaded, DEFAULTS)
    assert len({setting.key for setting in settings}) == len(settings)
    return {s.key: (s.value, s.origin.replace(f"{directory}/", "")) for s in settings}


def test_each_value_names_its_origin(tmp_path: Path) -> None:
    settings = settings_of(loaded_from(tmp_path, seed=4, evaluate__metric="mse"), tmp_path)
    expected = {
        "target": ("ort-cpu", "default"),
        "weights.bits": (8, "target ort-cpu"),
        "weights.signed": (True, "c.yaml:3"),
        "weights.symmetric": (True, "target ort-cpu"),
        "weights.narrow_range": (None, "default"),
        "weights.granularity.block": (32, "c.yaml:4"),
        "bias": ("int32", "target ort-cpu"),
        "calibration.samples": (128, "default"),
        "calibration.method.kind": ("percentile", "c.yaml:6"),
        "calibration.method.percentile": (99.99, "default"),
        "calibration.preprocessing.resize": ((224, 224), "c.yaml:7"),
        "calibration.preprocessing.color": ("rgb", "default"),
        "evaluate.preprocessing": (None, "default"),
        "evaluate.metric": ("mse", "command line"),
        "overrides[0].match.glob": ("/head/*", "c.yaml:9"),
        "overrides[0].weights.bits": (4, "c.yaml:10"),
        "skip[0].name": ("conv1", "c.yaml:11"),
        "first_layer.keep_float": (True, "c.yaml:12"),
        "last_layer": (None, "default"),
        "seed": (4, "command line"),
    }
    assert {key: settings[key] for key in expected} == expected


def test_rules_list_only_what_they_set(tmp_path: Path) -> None:
    settings = settings_of(loaded_from(tmp_path), tmp_path)
    rules = [key for key in settings if key.startswith(("overrides", "first_layer"))]
    assert rules == [
        "overrides[0].weights.bits",
        "overrides[0].match.glob",
        "first_layer.keep_float",
    ]


def test_resolved_paths_keep_their_origin_and_nothing_else_becomes_set(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[calibration]\ndata = "images"\n')
    settings = settings_of(read_config(path), tmp_path)
    assert settings["calibration.data"] == (str(tmp_path / "images"), "c.toml")
    assert {key for key, (_, origin) in settings.items() if origin == "c.toml"} == {
        "calibration.data"
    }


def test_defaults_alone() -> None:
    settings = effective(read_config(None), {})
    assert {setting.origin for setting in settings} == {"default"}
    assert [s.key for s in settings][:2] == ["target", "weights.bits"]


def test_values_set_to_empty_blocks_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("weights: {}\nskip: []\nlast_layer: {}\n")
    settings = settings_of(read_config(path), tmp_path)
    assert settings["weights.narrow_range"] == (None, "default")
    assert settings["skip"] == ((), "c.yaml:2")
    assert settings["last_layer"] == ({}, "c.yaml:3")
