from __future__ import annotations

import pytest

from onnxq.config import Config, Name, OpType, Sparsify, parse_config
from onnxq.errors import ConfigError


def test_defaults():
    assert Config().sparsify is None
    block = Sparsify()
    assert (block.pattern, block.method, block.permute, block.skip) == ("2:4", None, False, ())


def test_from_a_file():
    text = {"sparsify": {"pattern": "4:8", "method": "wanda", "skip": ["a", {"op_type": "Gemm"}]}}
    block = parse_config(text).sparsify
    assert block is not None
    assert (block.pattern, block.method) == ("4:8", "wanda")
    assert block.skip == (Name(name="a"), OpType(op_type="Gemm"))


@pytest.mark.parametrize("pattern", ["4:4", "4:2", "0:4", "2:65", "2-4", "2:", "02:4"])
def test_what_is_no_pattern(pattern):
    with pytest.raises(ConfigError, match="no pattern of sparsity"):
        Sparsify(pattern=pattern)


@pytest.mark.parametrize("block", [{"method": "random"}, {"damping": 0.0}, {"n": 2}])
def test_other_mistakes(block):
    with pytest.raises(ConfigError):
        parse_config({"sparsify": block})
