"""A model and a picture made by others: a mistake in preprocessing shows as another answer."""

from pathlib import Path
from typing import Any

import cv2
import pytest

from inframe.core.errors import ConfigError
from inframe.core.types import Scores
from inframe.pipeline.model import load_model
from tests.drivers import onnx_models as om
from tests.pipeline.model_files import FRAME, TickClock, configure

KNOWN = Path("../shared/data/known-answer")

RIGHT = {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def known_answer(folder: Path, numbers: dict[str, Any], **changes: Any) -> tuple[int, str, float]:
    image = cv2.cvtColor(cv2.imread(str(KNOWN / "orange.png")), cv2.COLOR_BGR2RGB)
    labels = (KNOWN / "labels.txt").read_text().splitlines()[1:]  # the first row is a background that the model lacks
    config = configure(
        file="mobilenet_v2_quant.onnx",
        preprocess={"size": [224, 224]} | numbers,
        decode={"kind": "classification"},
        labels=labels,
        **changes,
    )
    model = load_model("fruit", config, folder, (image.shape[1], image.shape[0]))
    output, _ = model.run(image, TickClock())
    assert isinstance(output, Scores)
    best = int(output.scores.argmax())
    return best, model.labels[best], float(output.scores[best])


@pytest.mark.parametrize(
    ("numbers", "answer"),
    [
        (RIGHT, 950),
        ({"scale": 1 / 127.5, "mean": (1.0,)}, 951),
        ({"scale": 1.0}, 644),
    ],
)
def test_known_answer(numbers: dict[str, Any], answer: int) -> None:
    if not KNOWN.is_dir():
        pytest.skip(f"{KNOWN} is absent")
    best, label, _ = known_answer(KNOWN, numbers)
    assert best == answer
    assert (label == "orange") == (answer == 950)


def test_known_answer_with_the_background_row_is_refused() -> None:
    if not KNOWN.is_dir():
        pytest.skip(f"{KNOWN} is absent")
    config = configure(
        file="mobilenet_v2_quant.onnx",
        preprocess={"size": [224, 224]},
        decode={"kind": "classification"},
        labels="labels.txt",
    )
    with pytest.raises(
        ConfigError, match=r"found 1001 labels, expected 1000 \(output 'output' has 1000 scores: 1x1000\)"
    ):
        load_model("fruit", config, KNOWN, FRAME)


def test_known_answer_by_openvino(tmp_path: Path) -> None:
    """OpenVINO lacks one of this file's operators and says so; with that one written out it gives the right answer."""
    pytest.importorskip("openvino")
    if not KNOWN.is_dir():
        pytest.skip(f"{KNOWN} is absent")
    openvino = {"engine": {"name": "openvino"}}
    with pytest.raises(
        ConfigError, match=r"found operators com.microsoft.QLinearGlobalAveragePool, expected operators"
    ):
        known_answer(KNOWN, RIGHT, **openvino)
    om.save(
        tmp_path, without_quantised_pool((KNOWN / "mobilenet_v2_quant.onnx").read_bytes()), "mobilenet_v2_quant.onnx"
    )
    # On this int8 model the two engines' scores are up to 8 apart, so what wrong preprocessing answers differs too.
    assert known_answer(tmp_path, RIGHT, **openvino)[:2] == (950, "orange")
    for numbers in ({"scale": 1 / 127.5, "mean": (1.0,)}, {"scale": 1.0}):
        assert known_answer(tmp_path, numbers, **openvino)[0] != 950


def without_quantised_pool(data: bytes) -> bytes:
    """QLinearGlobalAveragePool written as DequantizeLinear, GlobalAveragePool, QuantizeLinear."""
    import onnx

    proto = onnx.load_model_from_string(data)
    for i, node in enumerate(proto.graph.node):
        if node.op_type == "QLinearGlobalAveragePool":
            x, x_scale, x_zero, y_scale, y_zero = node.input
            replaced = [
                om.node("DequantizeLinear", f"{x} {x_scale} {x_zero}", "pool_in"),
                om.node("GlobalAveragePool", "pool_in", "pool_out"),
                om.node("QuantizeLinear", f"pool_out {y_scale} {y_zero}", node.output[0]),
            ]
            del proto.graph.node[i]
            for offset, new in enumerate(replaced):
                proto.graph.node.insert(i + offset, new)
            break
    changed: bytes = proto.SerializeToString()
    return changed
