"""Fuzzes the reading of configurations: YAML, TOML and JSON, near the schema and far from it.

    python benchmarks/fuzz_configs.py [--cases 10000] [--seconds 170] [--workers 1]
                                      [--state FOLDER] [--first NUMBER] [--only NUMBER]

Case NUMBER is made from the number alone, and is run as the models' fuzzer runs its cases: a
configuration gives a Config or a ConfigError, in little time and memory, and imports nothing. Every
fourth is made and read as the gates of `onnxq check`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import yaml
from fuzz_protobuf import FLOATS, INTEGERS, TEXTS
from fuzz_state import add_arguments, run_cases
from fuzz_workers import place_of

from onnxq.config import effective, gates_schema, json_schema, read_config, read_gates
from onnxq.errors import ConfigError

_MODULE = "fuzzed_module_of_a_configuration"
"""A module that tells when it is imported: reading a configuration must not run anything."""

_DEEP = (10, 100, 900, 5000, 100_000)


def made(case: int) -> tuple[str, bytes]:
    """Suffix and content of the configuration of a case."""
    source = random.Random(f"configs {case}")
    suffix = source.choice((".yaml", ".yml", ".toml", ".json"))
    if source.random() < 0.12:
        return suffix, source.choice(_SPECIAL)(source)
    schema = gates_schema() if _of_check(case) else json_schema()
    values = _mutated(_block(schema, schema, source), source)
    content = _written(values, suffix, source).encode("utf-8", "surrogatepass")
    return suffix, _bytes(content, source) if source.random() < 0.3 else content


def _of_check(case: int) -> bool:
    return case % 4 == 3


def _block(schema: Mapping[str, Any], whole: Mapping[str, Any], source: random.Random) -> Any:
    """A value that nearly fits a JSON Schema, a part of the whole one."""
    if "$ref" in schema:
        return _block(whole["$defs"][schema["$ref"].rsplit("/", 1)[1]], whole, source)
    forms = schema.get("anyOf") or schema.get("oneOf")
    if forms:
        return _block(source.choice(forms), whole, source)
    if "properties" in schema:
        needed = schema.get("required", ())
        return {
            key: _block(inner, whole, source)
            for key, inner in schema["properties"].items()
            if key in needed or source.random() < 0.15
        }
    if "enum" in schema or "const" in schema:
        return source.choice(schema.get("enum") or [schema["const"]])
    if schema.get("type") == "array":
        items = schema.get("items", {"type": "integer"})
        return [_block(items, whole, source) for _ in range(source.randrange(4))]
    return _PLAIN[schema.get("type", "null")](source)


_PLAIN: Mapping[str, Callable[[random.Random], Any]] = {
    "integer": lambda source: source.choice((1, 2, 4, 8, 16, 224)),
    "number": lambda source: source.choice((0.5, 0.9, 1.0, 99.9)),
    "boolean": lambda source: source.random() < 0.5,
    "string": lambda source: source.choice(("a", "x.npz", f"{_MODULE}:load", "Conv", "top-1")),
    "null": lambda _: None,
    "object": lambda _: {},
}


def _mutated(value: Any, source: random.Random) -> Any:
    if source.random() < 0.08:
        return _anything(source)
    if isinstance(value, dict):
        changed = {key: _mutated(inner, source) for key, inner in value.items()}
        if source.random() < 0.1:
            changed[source.choice((*TEXTS, *changed))] = _anything(source)
        return changed
    if isinstance(value, list):
        return [_mutated(inner, source) for inner in value]
    return value


def _anything(source: random.Random) -> Any:
    choices: tuple[Callable[[], Any], ...] = (
        lambda: source.choice(TEXTS),
        lambda: source.choice(INTEGERS),
        lambda: source.choice(FLOATS),
        lambda: 10 ** source.randrange(1, 5000),
        lambda: "9" * source.randrange(1, 6000),
        lambda: source.choice((True, False, None)),
        lambda: [_anything(source) for _ in range(source.randrange(3))],
        lambda: {source.choice(TEXTS): _anything(source)},
        lambda: "(a+)+$" + "a" * 40,
    )
    return source.choice(choices)()


def _written(values: Any, suffix: str, source: random.Random) -> str:
    if suffix == ".toml":
        return _toml(values) if isinstance(values, dict) else f"x = {_toml_value(values)}"
    sys.set_int_max_str_digits(0)
    if suffix == ".json" or source.random() < 0.3:
        return json.dumps(values)
    return yaml.safe_dump(values, default_flow_style=source.choice((True, False, None)))


def _toml(values: Mapping[str, Any]) -> str:
    return "\n".join(f"{json.dumps(str(k))} = {_toml_value(v)}" for k, v in values.items())


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{json.dumps(str(k))} = {_toml_value(v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return json.dumps(value) if value is not None else '""'


def _bytes(content: bytes, source: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(source.choice((1, 2, 5))):
        at = source.randrange(len(changed) + 1)
        kind = source.randrange(4)
        if kind == 0:
            changed[at:at] = source.choice(_TOKENS)
        elif kind == 1:
            del changed[at : at + source.randrange(1, 10)]
        elif kind == 2:
            changed[at : at + 1] = bytes([source.randrange(256)])
        else:
            changed[at:at] = changed[: source.randrange(40)]
    return bytes(changed)


_TOKENS = (
    *(b"&a ", b"*a", b"<<: *a", b"!!python/object/apply:os.system ['true']", b"!!binary aGk="),
    *(b"!!set ", b"!!timestamp 2001-01-01", b"%YAML 1.1\n---\n", b"---\n", b"? [a, b]\n: c\n"),
    *(b"\xff", b"\x00", b"\t", b"{", b"}", b"[", b"]", b": ", b"- ", b"|\n ", b">\n", b"#", b'"'),
    *(b"'", b"\\", b"\r\n", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"1e999", b"-.inf", b"0x", b"0o9"),
    *(b"1__0", b"NaN", b"null", b"[[a]]\n", b"a.b.c = 1\n", b"1979-05-27T07:32:00Z", b"\\ud800"),
)


def _laughs(source: random.Random) -> bytes:
    """Aliases of aliases: ten levels of ten stand for ten thousand millions."""
    wide = source.choice((2, 10))
    lines = ["a0: &a0 [x, x]"]
    for level in range(1, source.choice((5, 10, 40))):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * wide)}]")
    key = source.choice(("skip", "overrides", "calibration", "weights"))
    return ("\n".join(lines) + f"\n{key}: *a{level}\n").encode()


def _laughing_keys(source: random.Random) -> bytes:
    """The same with mappings, merged and nested."""
    lines = ["a0: &a0 {bits: 8}"]
    for level in range(1, source.choice((5, 20, 40))):
        inner = f"*a{level - 1}"
        merge = f"<<: [{inner}, {inner}]"
        nested = f"x: {inner}, y: {inner}"
        lines.append(f"a{level}: &a{level} {{{source.choice((merge, nested))}}}")
    return ("\n".join(lines) + f"\nweights: *a{level}\n").encode()


def _endless(source: random.Random) -> bytes:
    return source.choice(
        (b"skip: &a [*a]\n", b"weights: &a {x: *a}\n", b"&a [*a]", b"<<: &a {<<: *a}")
    )


def _deep(source: random.Random) -> bytes:
    depth = source.choice(_DEEP)
    opened, closed = source.choice(
        (("[", "]"), ('{"a":', "}"), ("- ", ""), ("a.", ""), ("!a ", ""))
    )
    return (opened * depth + "1" + closed * depth).encode()


def _wide(source: random.Random) -> bytes:
    """A mapping, or a text, of very many parts."""
    count = source.choice((1000, 30_000))
    choices = (
        lambda: "\n".join(f"k{i}: 1" for i in range(count)),
        lambda: "\n".join(f"k{i} = 1" for i in range(count)),
        lambda: json.dumps({f"k{i}": 1 for i in range(count)}),
        lambda: json.dumps({"skip": ["a"] * count}),
        lambda: "skip: [" + "a," * count + "]",
        lambda: "\n".join(["k: 1"] * count),
        lambda: json.dumps({f"k{i}": 1 for i in range(count)})[:-1] + f', "k{count - 1}": 1}}',
        lambda: '{"a": 1' + ', "a": 1' * count + "}",
        lambda: '{"seed": ' + "9" * count + "}",
        lambda: "seed: " + "9" * count,
        lambda: "seed = " + "9" * count,
        lambda: "seed: 0x" + "f" * count,
        lambda: "x" * count * 10,
        lambda: "[" + "." * count,
    )
    return source.choice(choices)().encode()


def _noise(source: random.Random) -> bytes:
    return source.randbytes(source.randrange(200))


_SPECIAL = (_laughs, _laughing_keys, _endless, _deep, _wide, _noise)


def attempt(case: int) -> tuple[str, str]:
    """Read the configuration of a case, and show it as the command does."""
    suffix, content = made(case)
    with tempfile.TemporaryDirectory(prefix="onnxq-fuzz-") as name:
        folder = Path(name)
        (folder / f"{_MODULE}.py").write_text("raise SystemExit('a configuration ran code')")
        os.chdir(folder)
        path = folder / f"config{suffix}"
        path.write_bytes(content)
        before = sorted(folder.iterdir())
        kind, detail = _read(path, case)
        if sorted(folder.iterdir()) != before:
            return "escape", "a configuration wrote a file"
    if _MODULE in sys.modules:
        return "escape", "a configuration was run"
    return kind, detail


def _read(path: Path, case: int) -> tuple[str, str]:
    try:
        if _of_check(case):
            read_gates(path)
        else:
            effective(read_config(path), {})
    except ConfigError as error:
        text = str(error)
        if not text or len(text) > 20_000 or any(ord(c) < 32 and c not in "\n\t" for c in text):
            return "defect", f"an error without a clear text: {place_of(error)}"
        return "refused", ""
    return "done", ""


def main() -> None:
    """Go on with the cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, 10_000)
    options = parser.parse_args()
    if options.only is None:
        sys.exit(1 if run_cases(attempt, options, "configs").faults else 0)
    suffix, content = made(options.only)
    options.state.mkdir(parents=True, exist_ok=True)
    (options.state / f"{options.only}{suffix}").write_bytes(content)
    try:
        print(*attempt(options.only))
    except Exception:
        traceback.print_exc()


if __name__ == "__main__":
    main()
