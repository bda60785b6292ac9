"""The schema of `device.yaml`: what an integrator may write, and nothing else. Unknown keys are errors.

The models here only hold and check values; reading the file is `core/yamlfile.py`. Every default is written here and
nowhere else. Its JSON Schema is published by `inframe check --schema`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inframe.core.health import HealthRules
from inframe.core.part import Fraction, Part

PATTERNS = {
    r"^[a-z][a-z0-9_]{0,31}$": "a name: a-z, 0-9 and _, at most 32, a letter first",
    r"^#[0-9a-fA-F]{6}$": '"#rrggbb"',
    r"^rtsp://[^\s]+$": "rtsp://…",
    r"^[^:]+(\.py)?:[A-Za-z_]\w*$": "file.py:name or package.module:name",
}
"""What each pattern of the schema asks for, as an error says it."""
_NAME, _COLOUR, _RTSP, _FUNCTION = PATTERNS

Name = Annotated[str, Field(pattern=_NAME)]
Colour = Annotated[str, Field(pattern=_COLOUR)]
PositiveMs = Annotated[float, Field(gt=0, le=60_000)]
Labels = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
Side = Annotated[int, Field(ge=1, le=8192)]
MAX_PLACED = 8
"""A byte of each record says which place of each worker is shown."""
Core = Annotated[int, Field(ge=0, le=4095)]


# --- streams ---------------------------------------------------------------------------------------------------------


class StreamBase(Part):
    """What every camera has."""

    width: int = Field(ge=16, le=7680)
    height: int = Field(ge=16, le=4320)
    fps: float = Field(ge=0.1, le=240, description="frames per second; sets the deadline and the watchdogs")
    rotate: Literal[0, 90, 180, 270] = Field(0, description="clockwise, degrees; width and height are those after it")
    stall_ms: PositiveMs = Field(300, description="no frame for this long, and for 2.5 frame periods: NO_SIGNAL")
    frozen_ms: PositiveMs | None = Field(
        300, description="the same picture bit for bit for this long: CAMERA_FROZEN; null: never"
    )


class FileStream(StreamBase):
    """A recording, played at its own time stamps or as fast as the models can take it."""

    camera: Literal["file"]
    path: str
    pace: Literal["realtime", "fast"] = "realtime"
    loop: bool = False


class RtspStream(StreamBase):
    """A camera on the network. Its host is the only address that its capture process may reach."""

    camera: Literal["rtsp"]
    url: str = Field(pattern=_RTSP)


class V4l2Stream(StreamBase):
    """A camera or grabber of Video4Linux."""

    camera: Literal["v4l2"]
    device: str = "/dev/video0"
    input_format: Literal["mjpeg", "yuyv422", "uyvy422", "nv12", "rgb24", "h264"] | None = None


class SyntheticStream(StreamBase):
    """A test camera that codes the frame number into the picture."""

    camera: Literal["synthetic"]
    frames: int | None = Field(None, ge=1, description="stop after so many; null: go on for ever")


Stream = Annotated[FileStream | RtspStream | V4l2Stream | SyntheticStream, Field(discriminator="camera")]


# --- models ----------------------------------------------------------------------------------------------------------


class EngineConfig(Part):
    """Which engine runs the model, and with what."""

    name: Literal["onnxruntime", "openvino"] = "onnxruntime"
    threads: int = Field(1, ge=1, le=64, description="threads within one operator")
    providers: tuple[str, ...] = Field(
        ("CPUExecutionProvider",), min_length=1, description="onnxruntime: execution providers, tried in this order"
    )
    device: str = Field("CPU", description="openvino: CPU, GPU, NPU …")


class Preprocess(Part):
    """From the frame (RGB, 0..255) to the model's image input: value = ((pixel * scale) - mean) / std."""

    input: str | None = Field(None, description="the model's input of this name; null: its only image input")
    size: tuple[Side, Side] = Field(description="width and height that the model gets")
    fit: Literal["stretch", "letterbox", "crop"] = Field(
        description="stretch: both sides to size; letterbox: keep the aspect and pad; crop: keep the aspect and cut the middle"
    )
    interpolation: Literal["linear", "area", "nearest", "cubic"] = "linear"
    pad: Annotated[int, Field(ge=0, le=255)] = Field(114, description="letterbox: pixel value of the bars, 0..255")
    colour: Literal["rgb", "bgr", "gray"]
    layout: Literal["nchw", "nhwc"]
    dtype: Literal["float32", "float16", "uint8", "int8"]
    scale: float = Field(description="1 keeps 0..255; 0.00392156862745098 (1/255) makes 0..1")
    mean: tuple[float, ...] = Field((0.0,), min_length=1, max_length=3)
    std: tuple[float, ...] = Field((1.0,), min_length=1, max_length=3)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        channels = 1 if self.colour == "gray" else 3
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ValueError(
                    f"{key}: found {len(values)} values, expected 1 or {channels} for colour {self.colour}"
                )
        if 0.0 in self.std:
            raise ValueError("std: found 0, expected values other than 0")
        return self


class DecodeSegmentation(Part):
    """(1, labels, h, w) logits or scores, (1, h, w, labels), or (1, h, w) / (1, 1, h, w) class indices or one sigmoid."""

    kind: Literal["segmentation"]
    output: str | None = Field(None, description="the model's output of this name; null: its only output")
    activation: Literal["argmax", "sigmoid", "threshold", "none"] = Field(
        "argmax",
        description="argmax over labels; sigmoid: logits of foreground channels, the best one where it is above the threshold, "
        "else background; threshold: the same for scores that are 0..1 already; none: indices already",
    )
    layout: Literal["nchw", "nhwc"] = "nchw"
    threshold: Fraction = 0.5


class DecodeDetection(Part):
    """Boxes. The format says how the numbers are laid out; see docs/models.md for each one's shapes."""

    kind: Literal["detection"]
    format: Literal["yolov5", "yolov8", "yolox", "end2end", "boxes_scores"] = Field(
        description="yolov5: (1,n,5+labels) decoded; yolov8: (1,4+labels,n); yolox: (1,n,5+labels) raw grid offsets; "
        "end2end: (1,n,6) x0,y0,x1,y1,score,label; boxes_scores: two outputs, (1,n,4) and (1,n,labels)"
    )
    output: str | None = Field(None, description="boxes_scores: the output that holds the boxes")
    scores_output: str | None = Field(None, description="boxes_scores: the output that holds the scores")
    box: Literal["xyxy", "cxcywh", "yxyx"] = Field("xyxy", description="boxes_scores: order of a box's numbers")
    units: Literal["pixels", "fraction"] = Field("pixels", description="of the model's input size")
    activation: Literal["none", "sigmoid"] = Field("none", description="what the scores still need")
    confidence: Fraction = 0.25
    iou: Fraction = Field(0.45, description="non-maximum suppression, per label; end2end does none")
    limit: int = Field(100, ge=1, le=1000, description="at most so many boxes, best first")


class DecodeClassification(Part):
    """(1, labels) logits or scores."""

    kind: Literal["classification"]
    output: str | None = None
    activation: Literal["none", "softmax", "sigmoid"] = "softmax"


class DecodeHeat(Part):
    """(1, 1, h, w) or (1, h, w) scores, or (1,) one number."""

    kind: Literal["heat"]
    output: str | None = None
    activation: Literal["none", "sigmoid"] = "none"
    reduce: Literal["max", "mean", "p99"] = "max"
    full_scale: float = Field(1.0, gt=0, description="the value drawn at full strength")


class DecodeFunction(Part):
    """A Python function of the integrator's own: (outputs by name, region) -> Masks | Boxes | Scores | Heat."""

    kind: Literal["function"]
    function: str = Field(pattern=_FUNCTION, description="path/to/file.py:name or package.module:name")
    returns: Literal["segmentation", "detection", "classification", "heat"]
    size: tuple[Side, Side] | None = Field(None, description="segmentation, heat: width and height of what it returns")
    limit: int = Field(100, ge=1, le=1000, description="detection: at most so many boxes")


Decode = Annotated[
    DecodeSegmentation | DecodeDetection | DecodeClassification | DecodeHeat | DecodeFunction,
    Field(discriminator="kind"),
]


class ModelConfig(Part):
    """A model, its schedule, and how to read it."""

    stream: Name
    file: str
    engine: EngineConfig = EngineConfig()
    worker: Name = Field("worker", description="models with the same worker run one after the other in one process")
    every: int = Field(1, ge=1, le=1000, description="look at each n-th frame")
    budget_ms: PositiveMs = Field(description="how long one run may take; longer is counted and reported")
    max_age_ms: Annotated[float, Field(ge=0, le=60_000)] = Field(
        0, description="an older result may be shown (HOLD) until it is this old; 0: only the frame's own result"
    )
    required: bool = Field(True, description="without it no overlay is shown at all")
    preprocess: Preprocess
    state: dict[str, str] = Field(
        {}, description="recurrent models: output name -> the input that gets it on the next frame"
    )
    shapes: dict[str, tuple[Annotated[int, Field(ge=1)], ...]] = Field(
        {}, description="what to use for the open dimensions of an input, by input name"
    )
    decode: Decode
    labels: Labels | str = Field(description="the labels in order, or a text file with one a line")
    colours: dict[str, Colour | None] = Field({}, description="label -> colour; null: not drawn")


# --- rules -----------------------------------------------------------------------------------------------------------


class ConditionBase(Part):
    """A measured number against a threshold. `release` is where it ends: a band between the two does not flicker."""

    above: float | None = None
    below: float | None = None
    release: float | None = Field(None, description="the condition ends beyond this value; default: at the threshold")

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("found both or neither of above and below, expected exactly one")
        if self.release is not None:
            if self.above is not None and self.release > self.above:
                raise ValueError(f"release: found {self.release}, expected at most above = {self.above}")
            if self.below is not None and self.release < self.below:
                raise ValueError(f"release: found {self.release}, expected at least below = {self.below}")
        return self


class AreaCondition(ConditionBase):
    """Segmentation: the share of the output's region that the labels cover, 0..1."""

    kind: Literal["area"]
    labels: tuple[str, ...] = Field(min_length=1)


class DistanceCondition(ConditionBase):
    """Segmentation: the shortest distance between two labels, as a fraction of the frame's width; absent labels: no value."""

    kind: Literal["distance"]
    source: str
    target: str


class ScoreCondition(ConditionBase):
    """Classification: a label's score; detection: the best score of a label; heat: the map's one number (no label)."""

    kind: Literal["score"]
    label: str | None = None


class CountCondition(ConditionBase):
    """Detection: how many boxes of a label; segmentation: how many connected parts of at least `min_area`."""

    kind: Literal["count"]
    label: str
    min_area: Fraction = 0.001


Condition = Annotated[AreaCondition | DistanceCondition | ScoreCondition | CountCondition, Field(discriminator="kind")]


class Persistence(Part):
    """When a condition becomes a finding: in k of the last n results, or without a break for so many seconds."""

    k: int | None = Field(None, ge=1, le=1000)
    n: int | None = Field(None, ge=1, le=1000)
    seconds: float | None = Field(None, ge=0, le=3600)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        frames = self.k is not None and self.n is not None
        if frames == (self.seconds is not None) or (self.k is None) != (self.n is None):
            raise ValueError("found a mixture, expected either k and n, or seconds")
        if self.k is not None and self.n is not None and self.k > self.n:
            raise ValueError(f"k: found {self.k}, expected at most n = {self.n}")
        return self


class Rule(Part):
    """Turns a model's results into a finding."""

    model: Name
    when: Condition
    persist: Persistence = Persistence(k=1, n=1)
    clear_s: float = Field(1.0, ge=0, le=3600, description="the finding ends after so long without the condition")
    text: str = Field(min_length=1, max_length=60)
    priority: Literal["none", "low", "medium", "high"] = "medium"
    latch: bool = Field(False, description="the alert stays, marked as past, until it is acknowledged")


# --- the device ------------------------------------------------------------------------------------------------------


class NoneScreen(Part):
    """Nothing is shown; frames are still made, timed and recorded."""

    kind: Literal["none"]


class FileScreen(Part):
    """An H.264 file of what was shown."""

    kind: Literal["file"]
    path: str


class WindowScreen(Part):
    """A window on this machine's desktop (the `window` extra)."""

    kind: Literal["window"]
    fullscreen: bool = False


class WebScreen(Part):
    """A page on the loopback address."""

    kind: Literal["web"]
    port: int = Field(8555, ge=0, le=65535, description="0: any free port, printed at the start")


ScreenConfig = Annotated[NoneScreen | FileScreen | WindowScreen | WebScreen, Field(discriminator="kind")]


class Overlay(Part):
    """How results are drawn at the start; both can be changed while running."""

    opacity: Fraction = 0.35
    on: bool = True
    watermark: str = Field("", max_length=60, description="small text on every picture, e.g. NOT FOR CLINICAL USE")


class Cores(Part):
    """Which processor cores the two halves of the process table use; default: chosen by the machine's count."""

    real_time: tuple[Core, ...] = Field(min_length=1)
    background: tuple[Core, ...] = Field(min_length=1)


class RecordingConfig(Part):
    """An MCAP file of each procedure: the displayed stream as it was captured, and all that was made of it."""

    folder: str
    codec: Literal["h264", "lossless"] = Field(
        "h264", description="lossless: RGB bit for bit, about twenty times the size; a replay is then exact"
    )
    rotate_minutes: float = Field(10, gt=0, le=1440, description="a new file is begun after so long")
    encrypt: str | None = Field(
        None, description="file of the device's key, made by `inframe record key`; null: not encrypted"
    )


class Trail(Part):
    """The tamper-evident record of every frame shown and every event."""

    folder: str = Field("out/trail", description="where it is kept")
    key: str | None = Field(
        None, description="the device's private key, made if there is none; null: `key` in the folder"
    )
    post_quantum: bool = Field(
        False, description="a key made here gets an ML-DSA-44 half, which signs what is published"
    )
    input_digests: bool = Field(True, description="a digest of each frame's pixels; takes a background core's time")


class UpdateConfig(Part):
    """Models can be changed while the device runs: each worker has two places, and a candidate is judged beside what is shown."""

    control: str = Field("out/control", description="the socket at which the running device takes orders")
    health: HealthRules = HealthRules()


class Device(Part):
    """The whole of `device.yaml`."""

    device: Annotated[str, Field(min_length=1, max_length=64)]
    streams: dict[Name, Stream] = Field(min_length=1)
    display: Name = Field(description="the stream that goes to the screen")
    deadline_ms: PositiveMs | None = Field(
        None, description="capture to screen; default: one frame period of the display's stream"
    )
    models: dict[Name, ModelConfig] = Field({})
    rules: dict[Name, Rule] = Field({})
    screens: tuple[ScreenConfig, ...] = (NoneScreen(kind="none"),)
    overlay: Overlay = Overlay()
    real_time: bool = Field(True, description="ask for real-time scheduling, own cores and locked memory")
    cores: Cores | None = None
    worker_memory_mb: int = Field(2048, ge=128, le=1 << 20, description="memory limit of each worker")
    trail: Trail | None = Field(Trail(), description="null: nothing is recorded")

    recording: RecordingConfig | None = Field(None, description="null: no recording")
    update: UpdateConfig | None = Field(None, description="null: models are changed by starting the device again")

    @model_validator(mode="after")
    def _references(self) -> Self:
        if self.display not in self.streams:
            raise ValueError(f"display: found {self.display!r}, expected one of streams: {', '.join(self.streams)}")
        for name, model in self.models.items():
            if model.stream not in self.streams:
                raise ValueError(
                    f"models.{name}.stream: found {model.stream!r}, expected one of: {', '.join(self.streams)}"
                )
        for name, rule in self.rules.items():
            if rule.model not in self.models:
                raise ValueError(
                    f"rules.{name}.model: found {rule.model!r}, expected one of models: {', '.join(self.models)}"
                )
        if self.update is not None and len({model.worker for model in self.models.values()}) > MAX_PLACED:
            raise ValueError(f"models: found more than {MAX_PLACED} workers, expected at most so many with update")
        return self

    @property
    def deadline_ns(self) -> int:
        """From capture to the screen, ns."""
        ms = self.deadline_ms if self.deadline_ms is not None else 1000.0 / self.streams[self.display].fps
        return int(ms * 1e6)
