"""What changed from one look to the next, as events of the trail: alerts, faults, modes, and what people have set."""

from collections.abc import Mapping

from inframe.core.config import Device
from inframe.core.events import EVENTS
from inframe.core.types import Controls, Mode, Presence
from inframe.pipeline.record import Shown
from inframe.trail.records import EventKind, EventRecord

_SETTINGS = ("opacity", "overlay_on", "audio")


class Watch:
    """Remembers the last look. A recorder that is started again tells anew of what is present: rather twice than not."""

    def __init__(self, device: Device, controls: Controls) -> None:
        self._texts = {name: event.text for name, event in EVENTS.items()}
        self._texts |= {name: rule.text for name, rule in device.rules.items()}
        self._alerts: Mapping[str, Presence] = {}
        self._mode: Mode | None = None
        self._faults: frozenset[str] = frozenset()
        self._controls = controls

    def shown(self, record: Shown) -> list[EventRecord]:
        """Alerts that came, went, were latched or acknowledged, and the mode, as this record has them."""
        at = record.shown_ns or record.captured_ns
        events = []
        if record.mode is not self._mode:
            before = "" if self._mode is None else f"{self._mode.name} to "
            events.append(EventRecord(EventKind.FAULT, at, "MODE", f"{before}{record.mode.name}", "display"))
            self._mode = record.mode
        if record.alerts != self._alerts:
            keys = [*record.alerts, *(key for key in self._alerts if key not in record.alerts)]
            events += [self._alert(key, record, at) for key in keys if record.alerts.get(key) != self._alerts.get(key)]
            self._alerts = record.alerts
        return events

    def _alert(self, key: str, record: Shown, at: int) -> EventRecord:
        presence, before = record.alerts.get(key, Presence.OFF), self._alerts.get(key, Presence.OFF)
        kind = EventKind.ACKNOWLEDGED if presence is Presence.ACKNOWLEDGED else EventKind.ALERT
        data = {"presence": presence.name, "was": before.name, "frame": str(record.seq)}
        return EventRecord(kind, at, key, self._texts.get(key, ""), "display", data)

    def faults(self, present: Mapping[str, int], now: int) -> list[EventRecord]:
        """Faults that some process has raised or cleared."""
        if present.keys() == self._faults:
            return []
        came, gone = present.keys() - self._faults, self._faults - present.keys()
        self._faults = frozenset(present)
        return [
            *(
                EventRecord(EventKind.FAULT, present[n], n, self._texts[n], "", {"state": "present"})
                for n in sorted(came)
            ),
            *(EventRecord(EventKind.FAULT, now, n, self._texts[n], "", {"state": "over"}) for n in sorted(gone)),
        ]

    def controls(self, controls: Controls, now: int) -> list[EventRecord]:
        """What a person has changed at a screen: settings, and that they have seen the alerts."""
        before, self._controls = self._controls, controls
        events = []
        if controls.acknowledged_ns != before.acknowledged_ns:
            data = {"alerts": ", ".join(self._alerts)} if self._alerts else {}
            text = "a person has seen the alerts present"
            events.append(EventRecord(EventKind.ACKNOWLEDGED, controls.acknowledged_ns, "ALERTS", text, "screen", data))
        changed = {name: str(getattr(controls, name)) for name in _SETTINGS if _differ(name, controls, before)}
        if changed:
            was = {f"{name}_was": str(getattr(before, name)) for name in changed}
            text = "set at a screen"
            events.append(EventRecord(EventKind.CONFIG, now, "CONTROLS", text, "screen", changed | was))
        return events


def _differ(name: str, one: Controls, other: Controls) -> bool:
    return bool(getattr(one, name) != getattr(other, name))
