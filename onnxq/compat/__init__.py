"""Configurations of other tools, said in our own. Translators translate; they never act."""

from onnxq.compat.reading import read_any, translate
from onnxq.compat.translation import Translation

__all__ = ["Translation", "read_any", "translate"]
