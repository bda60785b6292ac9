"""A recorded frame drawn as it was on the screen: the same overlay, from the results that are in the recording."""

from collections.abc import Mapping

import numpy as np

from inframe.core.clock import NS_PER_MS, NS_PER_S
from inframe.core.config import Device
from inframe.core.types import (
    Alert,
    Controls,
    Decision,
    Finding,
    Frame,
    Mode,
    Output,
    Pixels,
    Presence,
    Priority,
    Result,
    Verdict,
)
from inframe.pipeline.display import overlay_of
from inframe.pipeline.gate import Fit, ModelPlan, fit
from inframe.recording import schema
from inframe.recording.events import Said
from inframe.recording.reel import Moment
from inframe.recording.write import texts

_NO_PIXELS = np.empty((0, 0, 3), np.uint8)


class Redraw:
    """Of one recording: its device, its labels, its colours. What sensors said is not drawn."""

    def __init__(self, device: Device) -> None:
        device = device.model_copy(update={"sensors": {}, "tools": {}})
        self._device, self._texts = device, texts(device)
        labels = {
            name: one.labels
            for name, one in device.models.items()
            if one.stream == device.display and isinstance(one.labels, tuple)
        }
        self._overlay = overlay_of(device, labels)
        period_ns = int(NS_PER_S / device.streams[device.display].fps)
        models = {name: device.models[name] for name in labels}
        self._plans = {
            name: ModelPlan(name, m.every, m.every * period_ns, int(m.max_age_ms * NS_PER_MS), m.required)
            for name, m in models.items()
        }

    def picture(self, moment: Moment) -> Pixels:
        """(height, width, 3) uint8 RGB; without a decision the frame alone."""
        if moment.decision is None:
            return moment.pixels
        into = np.empty_like(moment.pixels)
        shown = self._shown(moment.decision, moment.said)
        decision = self._decision(moment.decision, shown)
        controls = Controls(self._device.overlay.opacity)
        self._overlay.draw(into, moment.pixels, decision, controls, moment.decision.shown_ns)
        return into

    def _shown(self, decision: schema.Decision, said: Mapping[str, Said]) -> tuple[Result, ...]:
        if Verdict[decision.verdict] is Verdict.WITHHOLD:
            return ()
        frame = Frame("", decision.seq, decision.captured_ns, decision.deadline_ns, _NO_PIXELS)
        known = [
            Result(name, one.seq, one.captured_ns, one.output, one.steps)
            for name in self._plans  # one is drawn over the other in this order
            if (one := said.get(name)) is not None and isinstance(one.output, Output)
        ]
        return tuple(one for one in known if fit(self._plans[one.model], frame, one) is not Fit.ABSENT)

    def _decision(self, found: schema.Decision, shown: tuple[Result, ...]) -> Decision:
        findings = tuple(Finding(one.rule, *self._said(one.rule), one.since_ns, one.value) for one in found.findings)
        alerts = tuple(
            Alert(key, *self._said(key), Presence[presence], found.deadline_ns)
            for key, presence in found.alerts.items()
            if presence in Presence.__members__
        )
        return Decision(Verdict[found.verdict], Mode[found.mode], findings, alerts, shown, found.age_ns)

    def _said(self, key: str) -> tuple[str, Priority]:
        return self._texts.get(key, (key, Priority.LOW))
