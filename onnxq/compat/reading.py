"""Read a configuration of any tool: what it is tells its content."""

from __future__ import annotations

from pathlib import Path

from onnxq.compat.amct import from_amct
from onnxq.compat.amct_reading import looks_like_amct
from onnxq.compat.documents import Document, read_document
from onnxq.compat.golden_stick import OPTIONS, from_golden_stick
from onnxq.compat.hyper_parameters import HYPER_PARAMETERS
from onnxq.compat.nni import from_nni
from onnxq.compat.qat_base import KEYS as BASE_KEYS
from onnxq.compat.qat_base import from_qat_base
from onnxq.compat.qat_mixed import from_qat_mixed
from onnxq.compat.translation import Translation
from onnxq.config import read_config
from onnxq.errors import ConfigError
from onnxq.graph import Model, load

_OWN = (".yaml", ".yml", ".toml", ".json")
_LARGEST = 2_000_000


def read_any(path: str | Path, model: str | Path | Model | None = None) -> Translation:
    """Read a configuration of our own, or translate one of another tool.

    An AMCT file is known by its first field or its suffix .cfg; dictionaries by their keys:
    `config_list` (NNI), `quant_config` (QAT_Mixed), `Weight_bit` or hyper-parameters (QAT-base).

    Args:
        path: The file.
        model: The model it is for; it is read only where names of layers must be looked up.

    Returns:
        The configuration; of our own files without `form`.

    Raises:
        ConfigError: if the file cannot be read, or is wrong.
        UsageError: if a model is needed and none is given.
    """
    place = Path(path)
    text = _text(place)
    if text is not None:
        found = translate(text, str(place), model)
        if found is not None:
            return found
    if text is not None and place.suffix.lower() not in _OWN:
        raise ConfigError(
            "no known kind of configuration",
            where=str(place),
            remedy="it must be YAML, TOML or JSON of onnxq, an AMCT .cfg, an NNI config_list, or "
            "a QAT-base or QAT_Mixed dictionary",
        )
    loaded = read_config(place)
    return Translation(loaded.config, "", loaded.origins)


def translate(text: str, path: str, model: str | Path | Model | None = None) -> Translation | None:
    """Translate a text of another tool; None if it is of none.

    Raises:
        ConfigError: if it is wrong.
        UsageError: if a model is needed and none is given.
    """
    if Path(path).suffix.lower() == ".cfg" or looks_like_amct(text):
        return from_amct(text, path, _model(model))
    document = read_document(text, path)
    if document is None:
        return None
    return _from_dictionary(document, model)


def _from_dictionary(document: Document, model: str | Path | Model | None) -> Translation | None:
    keys = set(document.values)
    if "config_list" in keys:
        return from_nni(document, _model(model))
    if "quant_config" in keys:
        return from_qat_mixed(document, _model(model))
    if keys & {*BASE_KEYS, *HYPER_PARAMETERS}:
        return from_qat_base(document)
    if keys and keys <= OPTIONS:
        return from_golden_stick(document)
    return None


def _model(model: str | Path | Model | None) -> Model | None:
    return model if model is None or isinstance(model, Model) else load(model)


def _text(path: Path) -> str | None:
    """The text of a file; None where the reader of our own files tells what is wrong with it."""
    if path.suffix.lower() not in _OWN and not path.is_file():
        raise ConfigError("configuration cannot be read", where=str(path), why="it is no file")
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")
