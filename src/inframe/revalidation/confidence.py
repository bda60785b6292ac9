"""How sure a segmentation model was of each pixel: from the engine's outputs, which the decoder reduces to labels.

A model whose output is labels already says nothing of it, and its calibration is "not estimable".
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframe.core.config import DecodeSegmentation, ModelConfig
from inframe.core.ports import Engine
from inframe.core.types import Region
from inframe.pipeline.outputs import sigmoid, window
from inframe.revalidation.tally import BINS, CONFIDENCE_ONE

Bins = NDArray[np.int64]
"""(BINS, 3): pixels, the sum of their confidence in 1 / CONFIDENCE_ONE, how many are right."""


class Tap:
    """An engine that keeps what it last said. Stands in for the engine of a model."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.inputs, self.outputs = engine.name, engine.inputs, engine.outputs
        self.said: Mapping[str, NDArray[np.generic]] = {}

    def run(self, feeds: Mapping[str, NDArray[np.generic]]) -> Mapping[str, NDArray[np.generic]]:
        """See core.ports.Engine."""
        self.said = self._engine.run(feeds)
        return self.said

    def close(self) -> None:
        """See core.ports.Engine."""
        self._engine.close()


def is_estimable(config: ModelConfig) -> bool:
    """Whether the model says how sure it is."""
    return isinstance(config.decode, DecodeSegmentation) and config.decode.activation != "none"


def confidence(config: ModelConfig, said: Mapping[str, NDArray[np.generic]], region: Region) -> NDArray[np.float32]:
    """(h, w) 0..1: how sure it was of the label that the decoder gave each pixel. `region`: of the whole output on the frame,
    letterbox bars included."""
    decode = config.decode
    if not isinstance(decode, DecodeSegmentation):
        raise RuntimeError("asked only where it is estimable")  # noqa: TRY004  # a wrong order of calls
    name = decode.output or next(key for key in said if key not in config.state)
    array = said[name]
    planes = array.reshape(array.shape[-3:] if array.ndim > 2 else (1, *array.shape)).astype(np.float32)
    if decode.layout == "nhwc":
        planes = planes.transpose(2, 0, 1)
    inner = window(region, len(planes[0]), len(planes[0][0]))
    planes = planes[:, inner.rows, inner.columns]
    if decode.activation == "argmax":
        return np.asarray(1 / np.exp(planes - planes.max(axis=0)).sum(axis=0), np.float32)
    best = planes.max(axis=0)
    share = sigmoid(best) if decode.activation == "sigmoid" else best
    return np.asarray(np.where(share > decode.threshold, share, 1 - share), np.float32)


def bins(sure: NDArray[np.float32], right: NDArray[np.bool_], known: NDArray[np.bool_]) -> Bins:
    """Of the pixels that are `known`: by how sure the model was."""
    whole = np.rint(np.clip(sure[known], 0, 1) * np.float64(CONFIDENCE_ONE)).astype(np.int64)
    index = np.minimum(whole * BINS // CONFIDENCE_ONE, BINS - 1)
    counted = np.zeros((BINS, 3), np.int64)
    counted[:, 0] = np.bincount(index, minlength=BINS)
    counted[:, 1] = np.rint(np.bincount(index, whole, BINS)).astype(np.int64)  # below 2^53: exact
    counted[:, 2] = np.bincount(index[right[known]], minlength=BINS)
    return counted


def ece(counted: NDArray[Any]) -> NDArray[np.float64]:
    """Expected calibration error (Naeini 2015) of (…, BINS, 3) counts -> (…)."""
    gaps = np.abs(counted[..., 1] / CONFIDENCE_ONE - counted[..., 2]).sum(axis=-1)
    return np.asarray(gaps / np.maximum(counted[..., 0].sum(axis=-1), 1))
