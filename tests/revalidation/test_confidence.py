"""How sure a model was, for each way in which its outputs are read; and the calibration error against its definition."""

from typing import Any

import numpy as np
import pytest

from inframe.core.config import ModelConfig
from inframe.core.types import WHOLE, Masks
from inframe.pipeline.model import load_model
from inframe.pipeline.preprocess import Preprocessor
from inframe.revalidation.confidence import Tap, bins, confidence, ece, is_estimable
from inframe.revalidation.tally import BINS
from tests.drivers import onnx_models as om
from tests.pipeline.model_files import TickClock, configure, noise

LOGITS = np.random.default_rng(2).normal(0, 3, (1, 4, 6, 8)).astype(np.float32)


def decoded(**decode: Any) -> ModelConfig:
    return configure(decode={"kind": "segmentation", **decode})


def test_the_softmax_of_the_label_that_was_given() -> None:
    shares = np.exp(LOGITS[0]) / np.exp(LOGITS[0]).sum(axis=0)
    expected = np.take_along_axis(shares, LOGITS[0].argmax(axis=0)[None], 0)[0]
    found = confidence(decoded(), {"y": LOGITS}, WHOLE)
    assert found == pytest.approx(expected, abs=1e-6)
    last = confidence(decoded(layout="nhwc"), {"y": LOGITS.transpose(0, 2, 3, 1)}, WHOLE)
    assert np.array_equal(last, found)


def test_one_foreground() -> None:
    plane = LOGITS[:, :1]
    share = 1 / (1 + np.exp(-plane[0, 0]))
    found = confidence(decoded(activation="sigmoid"), {"y": plane}, WHOLE)
    assert found == pytest.approx(np.where(share > 0.5, share, 1 - share), abs=1e-6)
    scores = np.clip(share, 0, 1)
    strict = confidence(decoded(activation="threshold", threshold=0.7), {"y": scores[None]}, WHOLE)
    assert strict == pytest.approx(np.where(scores > 0.7, scores, 1 - scores), abs=1e-6)
    assert not is_estimable(decoded(activation="none"))
    assert not is_estimable(configure(decode={"kind": "classification"}))


def test_letterboxed_as_the_decoder_cuts_it(tmp_path: Any) -> None:
    config = configure(preprocess={"fit": "letterbox"})
    om.save(tmp_path, om.convolution(4, 32))
    model = load_model("organs", config, tmp_path, (64, 48))
    tap = Tap(model.engine)
    model.engine = tap
    output, _ = model.run(noise(), TickClock())
    assert isinstance(output, Masks)
    sure = confidence(config, tap.said, Preprocessor(config.preprocess, 64, 48).region)
    assert sure.shape == output.classes.shape == (24, 32)
    assert 0.25 <= sure.min() <= sure.max() <= 1
    model.close()


def test_the_error_is_the_mean_gap() -> None:
    rng = np.random.default_rng(6)
    sure = rng.uniform(0.2, 1, 4000).astype(np.float32)
    right = rng.random(4000) < sure**2
    known = rng.random(4000) < 0.8
    found = float(ece(bins(sure, right, known)))
    index = np.minimum((sure[known] * BINS).astype(int), BINS - 1)
    gaps = [
        abs(sure[known][index == k].mean() - right[known][index == k].mean()) * (index == k).mean() for k in set(index)
    ]
    assert found == pytest.approx(sum(gaps), abs=1e-5)
    assert float(ece(np.zeros((BINS, 3), np.int64))) == 0
