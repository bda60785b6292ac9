"""One case through the pipeline: the models' own `Model.run`, and `decide` with its gate, mode, rules and alerts, as on a device.

Every result is in time here. How often it is not is a matter of the device and its load, which `inframe bench` measures; how long
each run took is counted.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from inframe.bundle import UNSIGNED, Bundle, open_bundle
from inframe.core.clock import NS_PER_S, MonotonicClock
from inframe.core.config import Device, EngineConfig, ModelConfig
from inframe.core.errors import BundleError, ConfigError
from inframe.core.part import Name, Part, Sha256
from inframe.core.rule import Rule
from inframe.core.types import Boxes, Controls, Decision, Frame, Masks, Missed, MissedReason, Result, Results
from inframe.pipeline.decide import Plan, State, decide, initial, make_plan
from inframe.pipeline.gate import looks_at
from inframe.pipeline.model import Model, load_model
from inframe.pipeline.preprocess import Preprocessor
from inframe.recording.about import here
from inframe.recording.replay import own
from inframe.revalidation.boxes import BoxScores, boxes_of
from inframe.revalidation.cases import CASE, Case, CaseFolder
from inframe.revalidation.confidence import Tap
from inframe.revalidation.pictures import Picture, pictures
from inframe.revalidation.scoring import Scores, laid, masks_of
from inframe.revalidation.tally import Found, Tally, added, bin_of
from inframe.revalidation.worst import WorstFrames
from inframe.truth import Event, Spans, compare

STREAM = "pictures"


class Settings(Part):
    """How cases are measured: all that the figures depend on beside the bundle and the cases. Part of what is locked."""

    rules: dict[Name, Rule] = Field({}, description="as in a device file; their models are the bundle's")
    tolerance_px: float = Field(16, ge=0, description="NSD: pixels of the picture by which an outline may be off")
    sample: int = Field(5, ge=1, description="surfaces and calibration on each n-th frame that has a mask")
    iou: float = Field(0.5, gt=0, le=1, description="boxes: so much of both together a true one and its finding share")
    worst: int = Field(2, ge=0, le=20, description="so many of each case's worst frames are kept as pictures")


class Job(Part):
    """One case to be measured: what goes to a worker, wherever that is."""

    bundle: str = Field(description="its file")
    sha256: Sha256 = Field(description="the bundle's: no other one is measured")
    case: str
    folder: str
    digests: dict[str, Sha256]
    settings: Settings


def measure(job: Job) -> Tally:
    """Raises ConfigError and BundleError for whatever is not as it was said to be."""
    folder = CaseFolder(job.case, Path(job.folder), dict(job.digests))
    folder.verify()
    case = folder.read()
    loaded = _loaded(job.bundle, job.sha256, case.stream.width, case.stream.height, case.stream.fps)
    run = _Run(job.settings, folder, case, *loaded)
    for picture in pictures(folder.folder / case.pictures, case.stream):
        run.step(picture)
    return run.tally(job.sha256)


@lru_cache(maxsize=2)
def _loaded(
    file: str, sha256: str, width: int, height: int, fps: float
) -> tuple[Device, dict[str, Model], dict[str, Tap]]:
    """The bundle's models for pictures of that size, loaded once for all cases of a worker."""
    cv2.setNumThreads(1)
    with open_bundle(Path(file), UNSIGNED) as bundle:  # whose signatures it needs, the parent has seen to
        if bundle.digest != sha256:
            raise BundleError(file, "sha256", bundle.digest, sha256)
        configs = models_of(bundle)
        models = {
            name: load_model(name, config, Path(file).parent, (width, height), bytes(bundle.member(config.file)))
            for name, config in configs.items()
        }
    clock, taps = MonotonicClock(), {}
    for name, model in models.items():
        model.warm_up(clock)
        taps[name] = Tap(model.engine)
        model.engine = taps[name]
    stream = {"camera": "synthetic", "width": width, "height": height, "fps": fps}
    values = {"device": "revalidation", "streams": {STREAM: stream}, "display": STREAM}
    return Device.model_validate(values).model_copy(update={"models": configs}), models, taps


def models_of(bundle: Bundle) -> dict[str, ModelConfig]:
    """Its models as a device would run them, on the first engine that the bundle names."""
    engine = EngineConfig(name=next(iter(bundle.manifest.compatibility.engines)))
    found = {}
    for name, model in bundle.manifest.models.items():
        settings = {key: getattr(model, key) for key in type(model).model_fields}
        found[name] = ModelConfig.model_validate({**settings, "stream": STREAM, "engine": engine})
    return found


@dataclass
class _Run:
    """A case on its way through."""

    settings: Settings
    folder: CaseFolder
    case: Case
    device: Device
    models: Mapping[str, Model]
    taps: Mapping[str, Tap]
    frames: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    latency: dict[str, Counter[int]] = field(default_factory=dict)
    spans: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    _standing: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        rules = {name: rule for name, rule in self.settings.rules.items() if rule.model in self.models}
        self.device = self.device.model_copy(update={"rules": rules})
        self._plan: Plan = make_plan(self.device, {name: model.labels for name, model in self.models.items()})
        self._state: State = initial(self._plan, 0)
        self._clock = MonotonicClock()
        self.latency = {name: Counter() for name in self.models}
        self.scores = {name: self._scores(name) for name in self.models if name in self.case.masks}
        self.boxes = {name: self._boxes(name) for name in self.models if name in self.case.boxes}
        self.worst = {name: WorstFrames(name, self.settings.worst) for name in self.scores}
        for model in self.models.values():
            model.forget()

    def _scores(self, name: str) -> Scores:
        config, masks, stream = self.device.models[name], self.case.masks[name], self.case.stream
        where = str(self.folder.folder / masks.file)
        data = masks_of(where, self.case, masks, self.models[name].labels, _masks(Path(where)))
        region = Preprocessor(config.preprocess, stream.width, stream.height).region
        tolerance, sample = self.settings.tolerance_px, self.settings.sample
        return Scores(name, config, region, self.case, data, masks.every, tolerance, sample)

    def _boxes(self, name: str) -> BoxScores:
        config, labels = self.device.models[name], self.case.boxes[name]
        if config.decode.kind not in ("detection", "function"):
            raise ConfigError(self.folder.folder / CASE, f"boxes.{name}", config.decode.kind, "a model of detection")
        truth = boxes_of(self.folder.folder / labels.file, self.case.stream, self.case.frames, labels)
        return BoxScores(name, config, self.case.stream, truth, labels, self.settings.iou)

    def step(self, picture: Picture) -> None:
        """One frame."""
        self.frames += 1
        results: dict[str, Result | Missed] = {}
        for name, model in self.models.items():
            if looks_at(self.device.models[name].every, picture.seq):
                results[name] = self._result(name, model, picture)
            else:
                results[name] = Missed(name, picture.seq, MissedReason.NOT_DUE)
        frame = Frame(STREAM, picture.seq, picture.captured_ns, picture.captured_ns, picture.pixels, picture.flags)
        decision, self._state = decide(self._plan, frame, results, {}, Controls(), self._state)
        self._note(picture.seq, decision)
        self._score(picture, results)

    def _result(self, name: str, model: Model, picture: Picture) -> Result | Missed:
        output, steps = model.run(picture.pixels, self._clock)
        self.latency[name][bin_of((steps.decoded - steps.started) // 1000)] += 1
        if isinstance(output, MissedReason):
            self.counts[f"{name} {output.name}"] += 1
            return Missed(name, picture.seq, output)
        return Result(name, picture.seq, picture.captured_ns, own(output), steps)  # type: ignore[arg-type]  # of an output, one

    def _note(self, seq: int, decision: Decision) -> None:
        self.counts[decision.verdict.name] += 1
        present = frozenset(finding.rule for finding in decision.findings)
        for rule in present:
            spans = self.spans.setdefault(rule, [])
            if rule in self._standing:
                spans[-1] = (spans[-1][0], seq)
            else:
                spans.append((seq, seq))
        self._standing = present

    def _score(self, picture: Picture, results: Results) -> None:
        for name, scores in self.scores.items():
            result = results[name]
            if isinstance(result, Missed) and result.reason is MissedReason.NOT_DUE:
                continue
            output = result.output if isinstance(result, Result) else None
            answer = output if isinstance(output, Masks) else None
            score, true = scores.add(picture.seq, answer, self.taps[name]), scores.true(picture.seq)
            if score is not None and true is not None and answer is not None:
                self.worst[name].see(score, picture.seq, picture.pixels, true, laid(answer, true.shape))
        for name, boxes in self.boxes.items():
            result = results[name]
            if isinstance(result, Result) or result.reason is not MissedReason.NOT_DUE:
                said = result.output if isinstance(result, Result) else None
                boxes.add(picture.seq, said if isinstance(said, Boxes) else None)

    def tally(self, bundle: str) -> Tally:
        """What was counted."""
        if self.frames != self.case.frames:
            raise ConfigError(
                self.folder.folder, "frames", f"{self.frames} pictures", f"{self.case.frames}, as the case says"
            )
        return Tally(
            case=self.folder.name,
            digest=self.folder.digest,
            bundle=bundle,
            attributes=self.case.attributes,
            frames=self.frames,
            labelled=sum(one.labelled for one in self.scores.values())
            + sum(one.labelled for one in self.boxes.values()),
            length_ns=round(self.frames * NS_PER_S / self.case.stream.fps),
            means={key: mean for one in self.scores.values() for key, mean in sorted(one.means.items())},
            empty={key: empty for one in self.scores.values() for key, empty in sorted(one.empty.items())},
            boxes={key: counted for one in self.boxes.values() for key, counted in sorted(one.counts.items())},
            findings=self._findings(),
            bins={name: _rows(one.bins) for name, one in self.scores.items() if one.bins[:, 0].any()},
            latency={name: added([counts]) for name, counts in self.latency.items()},
            counts=dict(sorted(self.counts.items())),
            worst=tuple(p for name, one in self.worst.items() for p in one.pictures(self.scores[name].labels)),
            machine="; ".join(here(self.device).values()),
        )

    def _findings(self) -> dict[str, Found]:
        fps, length_ns = self.case.stream.fps, round(self.frames * NS_PER_S / self.case.stream.fps)
        judged = [rule for rule in self.device.rules if rule in self.case.judged]
        true: Spans = {}
        for one in self.case.findings:
            true.setdefault(one.rule, []).append(((one.first - 1) / fps, one.last / fps))
        found = {rule: [((first - 1) / fps, last / fps) for first, last in spans] for rule, spans in self.spans.items()}
        events = compare({r: true[r] for r in judged if r in true}, {r: found[r] for r in judged if r in found})
        return {rule: _counted([one for one in events if one.rule == rule], length_ns) for rule in sorted(judged)}


def _counted(events: list[Event], length_ns: int) -> Found:
    hits = [one for one in events if one.outcome == "found"]
    after = [round(max(0.0, one.found[0] - one.true[0]) * NS_PER_S) for one in hits if one.found and one.true]
    false = sum(one.outcome == "false" for one in events)
    return Found(
        true=len(events) - false, found=len(hits), false=false, judged_ns=length_ns, after_ns=tuple(sorted(after))
    )


def _rows(bins: NDArray[np.int64]) -> tuple[tuple[int, int, int], ...]:
    return tuple((int(a), int(b), int(c)) for a, b, c in bins)


def _masks(path: Path) -> NDArray[np.uint8]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            found: NDArray[np.uint8] = data["masks"]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ConfigError(path, "masks", error, "an npz file with `masks`") from None
    return found
