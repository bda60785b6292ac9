"""The schema of `device.yaml`: what an integrator may write, and nothing else. Unknown keys are errors.

The models here only hold and check values; reading the file is `core/yamlfile.py`. Every default is written here and
nowhere else. Its JSON Schema is published by `inframe check --schema`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inframe.core.assist import AssistantConfig, check_assistant
from inframe.core.drift import MonitorConfig
from inframe.core.guidance import Tool
from inframe.core.health import CandidateConfig
from inframe.core.inputs import MAX_INPUTS, Input, Preprocess
from inframe.core.inset import Inset, check_insets
from inframe.core.part import (
    FUNCTION,
    HOST,
    RTSP,
    Colour,
    Core,
    Fraction,
    Labels,
    Name,
    Part,
    PolicyConfig,
    PositiveMs,
    Sha256,
    Side,
    TrailCounter,
)
from inframe.core.rule import Rule, TipCondition, check_names
from inframe.core.sensor import Sensor
from inframe.core.updates import UpdateConfig
from inframe.core.web import WebScreen

MAX_PLACED = 8
"""A byte of each record says which place of each worker is shown."""

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
    url: str = Field(pattern=RTSP)


class V4l2Stream(StreamBase):
    """A camera or grabber of Video4Linux."""

    camera: Literal["v4l2"]
    device: str = "/dev/video0"
    input_format: Literal["mjpeg", "yuyv422", "uyvy422", "nv12", "rgb24", "h264"] | None = None


class IgtlStream(StreamBase):
    """Pictures of an OpenIGTLink server: IMAGE messages of one device, such as ultrasound. Its host is the only address that its
    capture process may reach."""

    camera: Literal["igtl"]
    host: str = Field(pattern=HOST)
    port: int = Field(18944, ge=1, le=65535)
    name: str = Field(min_length=1, max_length=20, description="the device's name in each message")


class SyntheticStream(StreamBase):
    """A test camera that codes the frame number into the picture."""

    camera: Literal["synthetic"]
    frames: int | None = Field(None, ge=1, description="stop after so many; null: go on for ever")


Stream = Annotated[FileStream | RtspStream | V4l2Stream | IgtlStream | SyntheticStream, Field(discriminator="camera")]


# --- models ----------------------------------------------------------------------------------------------------------


class EngineConfig(Part):
    """Which engine runs the model, and with what."""

    name: Literal["onnxruntime", "openvino"] = "onnxruntime"
    threads: int = Field(1, ge=1, le=64, description="threads within one operator")
    providers: tuple[str, ...] = Field(
        ("CPUExecutionProvider",), min_length=1, description="onnxruntime: execution providers, tried in this order"
    )
    device: str = Field("CPU", description="openvino: CPU, GPU, NPU …")


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
    size: tuple[Side, Side] | None = Field(
        None,
        description="width and height of the mask: scores are interpolated to it before they are compared; null: the output's",
    )


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
    function: str = Field(pattern=FUNCTION, description="path/to/file.py:name or package.module:name")
    returns: Literal["segmentation", "detection", "classification", "heat"]
    size: tuple[Side, Side] | None = Field(None, description="segmentation, heat: width and height of what it returns")
    limit: int = Field(100, ge=1, le=1000, description="detection: at most so many boxes")


Decode = Annotated[
    DecodeSegmentation | DecodeDetection | DecodeClassification | DecodeHeat | DecodeFunction,
    Field(discriminator="kind"),
]


class ModelPart(Part):
    """A model file, its schedule, and how to read it: what a device file says of a bare model, and a bundle of its own."""

    file: str
    every: int = Field(1, ge=1, le=1000, description="look at each n-th frame")
    budget_ms: PositiveMs = Field(description="how long one run may take; longer is counted and reported")
    max_age_ms: Annotated[float, Field(ge=0, le=60_000)] = Field(
        0, description="an older result may be shown (HOLD) until it is this old; 0: only the frame's own result"
    )
    required: bool = Field(True, description="without it no overlay is shown at all")
    preprocess: Preprocess
    inputs: dict[str, Input] = Field(
        {}, max_length=MAX_INPUTS, description="the model's inputs beside its image, by their names in the model"
    )
    state: dict[str, str] = Field(
        {}, description="recurrent models: output name -> the input that gets it on the next frame"
    )
    shapes: dict[str, tuple[Annotated[int, Field(ge=1)], ...]] = Field(
        {}, description="what to use for the open dimensions of an input, by input name"
    )
    decode: Decode
    labels: Labels | str = Field(description="the labels in order, or a text file with one a line")
    colours: dict[str, Colour | None] = Field({}, description="label -> colour; null: not drawn")


class ModelConfig(ModelPart):
    """A bare model, unsigned: it runs only where `allow_unsigned` is true."""

    stream: Name
    engine: EngineConfig = EngineConfig()
    worker: Name = Field("worker", description="models with the same worker run one after the other in one process")


class BundleConfig(Part):
    """A signed model. What it is, its schedule and how to read it are signed with it; here is how this device uses it."""

    file: str | None = Field(None, description="null: the one in this device's slots; see `update`")
    bundle: Name | None = Field(None, description="without `file`: which of update.bundles; null: the one of this name")
    model: Name | None = Field(None, description="which of the bundle's models; null: its only one")
    digest: Sha256 | None = Field(
        None, description="SHA-256 of the bundle's file: no other one; null: any that is signed"
    )
    stream: Name
    engine: EngineConfig = EngineConfig()
    worker: Name = Field("worker", description="models with the same worker run one after the other in one process")
    colours: dict[str, Colour | None] = Field(
        {}, description="label -> colour, in place of the bundle's; null: not drawn"
    )

    @property
    def path(self) -> str:
        """Its file; of a resolved device."""
        if self.file is None:
            raise RuntimeError("a bundle of a device that was not resolved")
        return self.file


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


ScreenConfig = Annotated[NoneScreen | FileScreen | WindowScreen | WebScreen, Field(discriminator="kind")]


class Overlay(Part):
    """How results are drawn at the start; both can be changed while running."""

    opacity: Fraction = 0.35
    on: bool = True
    insets: dict[Name, Inset] = Field({}, max_length=4, description="other streams' pictures in the displayed one")
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
    counter: TrailCounter | None = None


class Device(Part):
    """The whole of `device.yaml`."""

    device: Annotated[str, Field(min_length=1, max_length=64)]
    streams: dict[Name, Stream] = Field(min_length=1)
    sensors: dict[Name, Sensor] = Field({}, description="streams of samples; rules name them")
    tools: dict[Name, Tool] = Field({}, description="tools whose pose a sensor knows; rules name them")
    display: Name = Field(description="the stream that goes to the screen")
    deadline_ms: PositiveMs | None = Field(
        None, description="capture to screen; default: one frame period of the display's stream"
    )
    models: dict[Name, ModelConfig] = Field({}, description="bare models; rules name them")
    bundles: dict[Name, BundleConfig] = Field({}, description="signed models; rules name them as they do bare ones")
    policy: PolicyConfig | str | None = Field(
        None, description="whose signatures bundles must have, or a file that says so"
    )
    allow_unsigned: bool = Field(
        False, description="development: run models that nobody signed; the screen and the trail then say UNSIGNED"
    )
    rules: dict[Name, Rule] = Field({}, description="findings that are made of results")
    screens: tuple[ScreenConfig, ...] = (NoneScreen(kind="none"),)
    overlay: Overlay = Overlay()
    real_time: bool = Field(True, description="ask for real-time scheduling, own cores and locked memory")
    cores: Cores | None = None
    worker_memory_mb: int = Field(2048, ge=128, le=1 << 20, description="memory limit of each worker")
    trail: Trail | None = Field(Trail(), description="null: nothing is recorded")
    recording: RecordingConfig | None = Field(None, description="null: no recording")
    update: UpdateConfig | None = Field(None, description="null: no updates")
    monitor: MonitorConfig | None = Field(None, description="null: no statistics")
    assistant: AssistantConfig | None = Field(None, description="null: no assistant")
    candidate: CandidateConfig | None = Field(
        None, description="null: models are changed by starting the device again; with `update` its defaults"
    )

    @model_validator(mode="after")
    def _slots(self) -> Self:
        if self.update is not None and "candidate" not in self.model_fields_set:
            object.__setattr__(self, "candidate", CandidateConfig())  # a default that depends on another key
        for name, bundle in self.bundles.items():
            known = self.update.bundles if self.update is not None else ()
            if bundle.file is None and (bundle.bundle or name) not in known:
                raise ValueError(f"bundles.{name}.file: found null, expected a file, or one of update.bundles")
        if self.update is not None and self.update.shadow and self.candidate is None:
            raise ValueError("update.shadow: found true without candidate, expected false, or a device with candidate")
        return self

    @model_validator(mode="after")
    def _references(self) -> Self:
        if self.display not in self.streams:
            raise ValueError(f"display: found {self.display!r}, expected one of streams: {', '.join(self.streams)}")
        parts = [(f"models.{name}", model.stream) for name, model in self.models.items()]
        parts += [(f"bundles.{name}", bundle.stream) for name, bundle in self.bundles.items()]
        for part, stream in parts:
            if stream not in self.streams:
                raise ValueError(f"{part}.stream: found {stream!r}, expected one of: {', '.join(self.streams)}")
        check_assistant(self.assistant, self.rules, has_trail=self.trail is not None)
        check_insets(self.overlay.insets, self.streams, self.display)
        check_names(self.rules, (*self.models, *self.bundles), self.sensors, self.streams, self.tools)
        if self.candidate is not None and len({model.worker for model in self.models.values()}) > MAX_PLACED:
            raise ValueError(f"models: found more than {MAX_PLACED} workers, expected at most so many with candidate")
        return self

    @property
    def unsigned(self) -> tuple[str, ...]:
        """The models that run without a signature; of a resolved device."""
        return tuple(name for name in self.models if not (name in self.bundles and self.policy is not None))

    def sensors_of(self, rule: Rule) -> tuple[str, ...]:
        """The streams of samples that go into a rule's finding, by itself or by a tool."""
        tool = self.tools[rule.when.tool] if isinstance(rule.when, TipCondition) else None
        found = (rule.sensor,) if tool is None else (tool.sensor, tool.carrier)
        return tuple(name for name in found if name is not None)

    @property
    def deadline_ns(self) -> int:
        """From capture to the screen, ns."""
        ms = self.deadline_ms if self.deadline_ms is not None else 1000.0 / self.streams[self.display].fps
        return int(ms * 1e6)
