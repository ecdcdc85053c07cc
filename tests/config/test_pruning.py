"""The block `prune`."""

from __future__ import annotations

import pytest

from onnxq.config import Config, Prune, parse_config
from onnxq.errors import ConfigError


def test_one_target_and_the_rest_by_default():
    settings = parse_config({"prune": {"macs": 0.8}}).prune
    assert settings == Prune(macs=0.8)
    assert settings.repair
    assert Config().prune is None


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"macs": 0.5, "ratio": 0.5}, "`ratio` and `macs` exclude each other"),
        ({"macs": 1.0}, "prune.macs"),
        ({"ratio": 0.0}, "prune.ratio"),
        ({"ratio": 0.3, "importance": "l3"}, "prune.importance"),
        ({"ratio": 0.3, "round_to": 0}, "prune.round_to"),
        ({"ratio": 0.3, "macz": 0.2}, "macs"),
    ],
)
def test_what_cannot_be_meant_is_refused(values, text):
    with pytest.raises(ConfigError) as error:
        parse_config({"prune": values})
    assert text in str(error.value)


def test_rules_alone_will_do():
    settings = parse_config({"prune": {"rules": [{"match": {"glob": "/head/*"}, "ratio": 0.2}]}})
    assert settings.prune is not None
    assert settings.prune.says_how_much
    assert not Prune().says_how_much
    assert settings.prune.rules[0].match.matches("/head/conv", "Conv")
