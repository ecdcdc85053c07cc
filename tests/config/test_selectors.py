import pytest

from onnxq.config import Glob, Name, OpType, Regex, Selector, parse_config
from onnxq.errors import ConfigError


@pytest.mark.parametrize(
    ("selector", "name", "op_type", "expected"),
    [
        (Name(name="conv1"), "conv1", "Conv", True),
        (Name(name="conv1"), "conv11", "Conv", False),
        (Name(name="Conv"), "x", "Conv", False),
        (Glob(glob="/head/*"), "/head/a/b", "Gemm", True),
        (Glob(glob="/Head/*"), "/head/a", "Gemm", False),
        (Glob(glob="conv?"), "conv12", "Conv", False),
        (Glob(glob="conv[12]"), "conv2", "Conv", True),
        (Regex(regex=r"^conv\d+$"), "conv12", "Conv", True),
        (Regex(regex=r"\d"), "conv12", "Conv", True),
        (Regex(regex=r"^\d"), "conv12", "Conv", False),
        (OpType(op_type="Conv"), "anything", "Conv", True),
        (OpType(op_type="Conv"), "Conv", "ConvTranspose", False),
    ],
)
def test_what_is_matched(selector: Selector, name: str, op_type: str, expected: bool) -> None:
    assert selector.matches(name, op_type) is expected
    assert selector.matches(name=name, op_type=op_type) is expected


def test_every_form_in_a_configuration() -> None:
    forms = [
        "a",
        {"name": "b"},
        {"glob": "c*"},
        {"regex": "d+"},
        {"op_type": "Gemm"},
        Name(name="e"),
    ]
    config = parse_config({"skip": forms, "overrides": [{"match": "a", "keep_float": True}]})
    assert [str(selector) for selector in config.skip] == [
        "name 'a'",
        "name 'b'",
        "glob 'c*'",
        "regex 'd+'",
        "op_type 'Gemm'",
        "name 'e'",
    ]
    assert config.overrides[0].match == Name(name="a")


@pytest.mark.parametrize("form", [{}, {"name": "a", "glob": "b"}, {"type": "a"}, None, 3, ["a"]])
def test_other_forms_are_refused(form: object) -> None:
    with pytest.raises(ConfigError, match=r"skip\[0\]: must be a name, or a mapping with one key"):
        parse_config({"skip": [form]})
