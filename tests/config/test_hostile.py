"""Configurations that are made to take all time and memory."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from onnxq.config import import_function, load_config, parse_config
from onnxq.config.interrupting import interrupted_after
from onnxq.errors import ConfigError


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="only POSIX has timers")
def test_regular_expressions_end() -> None:
    (selector,) = parse_config({"skip": [{"regex": "^(a+)+$"}]}).skip
    assert selector.matches("aaa", "Conv")
    started = time.monotonic()
    with pytest.raises(ConfigError, match=r"regex '\^\(a\+\)\+\$': .* takes too long"):
        selector.matches("a" * 60 + "b", "Conv")
    assert time.monotonic() - started < 60


def test_nothing_is_interrupted_beside_the_main_thread() -> None:
    ended = []

    def work() -> None:
        with interrupted_after(0.001, ConfigError("late")):
            time.sleep(0.01)
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"calibration": {"samples": 10**12}}, "calibration.samples"),
        ({"evaluate": {"samples": 10**12}}, "evaluate.samples"),
        ({"calibration": {"preprocessing": {"resize": 10**9}}}, "resize"),
        ({"weights": {"granularity": {"block": 2**40}}}, "block"),
        ({"calibration": {"method": {"kind": "ifmr", "step": 1e-12}}}, "method"),
    ],
)
def test_numbers_have_bounds(values: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        parse_config(values)


def test_aliases_of_aliases(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    path = tmp_path / "c.yaml"
    for key in ("skip", "weights", "overrides"):
        path.write_text("\n".join([*lines, f"{key}: *a29"]))
        started = time.monotonic()
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert time.monotonic() - started < 20
        assert len(str(caught.value)) < 20_000


@pytest.mark.parametrize("suffix", ["yaml", "toml", "json"])
def test_very_deep_and_very_wide(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"c.{suffix}"
    for text in ("[" * 100_000, '{"a":' * 100_000, "a." * 50_000, "9" * 100_000):
        path.write_text(text)
        with pytest.raises(ConfigError):
            load_config(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="only POSIX has it")
def test_endless_files(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="configuration is too long"):
        load_config(tmp_path / "c.yaml")


def test_a_key_given_twice_among_many(tmp_path: Path) -> None:
    pairs = ", ".join(f'"k{i}": 1' for i in (*range(50_000), 49_999))
    (tmp_path / "c.json").write_text(f"{{{pairs}}}")
    started = time.monotonic()
    with pytest.raises(ConfigError, match="key 'k49999' is given twice"):
        load_config(tmp_path / "c.json")
    assert time.monotonic() - started < 10


def test_functions_are_not_imported_where_that_is_forbidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_module.py").write_text("raise SystemExit('it ran')")
    monkeypatch.chdir(tmp_path)
    assert parse_config({"calibration": {"data": "evil_module:samples"}})
    monkeypatch.setenv("ONNXQ_IMPORTS", "0")
    with pytest.raises(ConfigError, match="evil_module:samples: functions are not imported"):
        import_function("evil_module:samples", error=ConfigError, purpose="a function")
    monkeypatch.delenv("ONNXQ_IMPORTS")
    with pytest.raises(SystemExit, match="it ran"):
        import_function("evil_module:samples", error=ConfigError, purpose="a function")


def test_very_long_keys_are_told_of_in_short() -> None:
    with pytest.raises(ConfigError, match=r"activations.aaaa.*…: unknown key 'aaaa.*…'") as caught:
        parse_config({"activations": {"a" * 5000: 1}})
    assert len(str(caught.value)) < 1000


def test_very_many_unknown_keys_are_told_of_in_short(tmp_path: Path) -> None:
    pairs = ", ".join(f'"k{i}": 1' for i in range(20_000))
    (tmp_path / "c.json").write_text(f"{{{pairs}}}")
    started = time.monotonic()
    with pytest.raises(ConfigError, match=r"(?s)20000 problems.*and 19970 more") as caught:
        load_config(tmp_path / "c.json")
    assert time.monotonic() - started < 30
    assert len(str(caught.value)) < 20_000


@pytest.mark.parametrize("text", ["!!timestamp x", "!!int x", "!!float x", "!!bool x"])
def test_a_tag_that_its_text_does_not_fit(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"seed: 1\ntarget: {text}\n")
    with pytest.raises(ConfigError, match=r"is tagged as \w+, and is none") as caught:
        load_config(tmp_path / "c.yaml")
    assert "c.yaml:2" in str(caught.value)
