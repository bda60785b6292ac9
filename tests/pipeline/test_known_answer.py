"""A model and a picture made by others: a mistake in preprocessing shows as another answer."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from inframe.core.errors import ConfigError
from inframe.core.types import Scores
from inframe.pipeline.model import load_model
from tests.drivers import onnx_models as om
from tests.pipeline.model_files import FRAME, TickClock, configure

KNOWN = Path("../shared/data/known-answer")

RIGHT: dict[str, Any] = {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
ANSWERS: list[tuple[dict[str, Any], int]] = [
    (RIGHT, 950),
    ({"scale": 1 / 127.5, "mean": (1.0,)}, 951),
    ({"scale": 1.0}, 644),
]


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


@pytest.mark.parametrize(("numbers", "answer"), ANSWERS)
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
    """OpenVINO computes some of this file's operators wrongly: refused. In QDQ form the same numbers give the same answers."""
    pytest.importorskip("openvino")
    if not KNOWN.is_dir():
        pytest.skip(f"{KNOWN} is absent")
    openvino = {"engine": {"name": "openvino"}}
    with pytest.raises(ConfigError, match=r"models.fruit.file: found operators com.microsoft:QLinearAdd, .* QDQ form"):
        known_answer(KNOWN, RIGHT, **openvino)
    om.save(tmp_path, as_qdq((KNOWN / "mobilenet_v2_quant.onnx").read_bytes()), "mobilenet_v2_quant.onnx")
    for numbers, answer in ANSWERS:
        assert known_answer(tmp_path, numbers, **openvino)[0] == answer


FLOAT_OPERATORS = {
    "QLinearConv": "Conv",
    "QLinearAdd": "Add",
    "QLinearMatMul": "MatMul",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
}


def as_qdq(data: bytes) -> bytes:
    """The same model with each quantised operator written as DequantizeLinear, the operator, QuantizeLinear."""
    proto = onnx.load_model_from_string(data)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    nodes: list[onnx.NodeProto] = []

    def dequantised(x: str, scale: str, zero: str) -> str:
        nodes.append(om.node("DequantizeLinear", f"{x} {scale} {zero}", f"{x}_{len(nodes)}"))
        return str(nodes[-1].output[0])

    for node in proto.graph.node:
        operator = FLOAT_OPERATORS.get(node.op_type)
        if operator is None:
            nodes.append(node)
            continue
        names = list(node.input)
        single = operator == "GlobalAveragePool"
        inputs = [dequantised(*names[:3])] + ([] if single else [dequantised(*names[3:6])])
        if len(names) > 8:  # a convolution's bias: int32 in units of both scales
            bias = weights[names[8]] * weights[names[1]].astype(np.float64) * weights[names[4]]
            inputs.append(f"{names[8]}_float")
            proto.graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), inputs[-1]))
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute if a.name != "channels_last"}
        y, (scale, zero) = node.output[0], names[3:5] if single else names[6:8]
        nodes.append(om.node(operator, " ".join(inputs), f"{y}_float", **attributes))
        nodes.append(om.node("QuantizeLinear", f"{y}_float {scale} {zero}", y))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    changed: bytes = proto.SerializeToString()
    return changed
