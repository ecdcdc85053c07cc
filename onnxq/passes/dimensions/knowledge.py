"""What is known of a model, found out again only after the model was edited."""

from __future__ import annotations

from onnxq.graph import Model
from onnxq.passes.dimensions.analysis import know
from onnxq.passes.dimensions.known import Known


class Knowledge:
    """The dimensions of a model that several passes look at in turn."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._known: Known | None = None

    def now(self) -> Known:
        """What is known of the model as it stands."""
        if self._known is None:
            self._known = know(self._model)
        return self._known

    def forget(self) -> None:
        """To be called after every edit."""
        self._known = None
