"""Regressions as ONNX graphs, which hold numbers and no code."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import onnx.helper
import onnxruntime
from numpy.typing import NDArray
from skl2onnx import to_onnx

_make_attribute = onnx.helper.make_attribute


def _make_plain_attribute(key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
    """skl2onnx 1.20 passes NumPy's integers and booleans on, which protobuf 7 refuses."""
    if isinstance(value, list):
        value = [int(x) if isinstance(x, np.integer | np.bool_ | bool) else x for x in value]
    return _make_attribute(key, value, *args, **kwargs)


class OnnxModel:
    """A regression as an ONNX graph; raises what onnxruntime raises if ``content`` is none."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    @classmethod
    def of(cls, model: Any, n_inputs: int) -> OnnxModel:
        """The graph of a fitted model of scikit-learn that reads so many float32 inputs."""
        with patch("onnx.helper.make_attribute", _make_plain_attribute):
            return cls(to_onnx(model, np.zeros((1, n_inputs), np.float32)).SerializeToString())

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """(R,) outputs of (R, F) inputs; NaN where an input is."""
        whole = ~np.isnan(inputs).any(axis=1)
        outputs = np.full(len(inputs), np.nan)
        if whole.any():
            outputs[whole] = self._session.run(None, {self._input: inputs[whole]})[0].reshape(-1)
        return outputs
