"""What a replay made, as a recording of its own beside the one that it is of: the same messages, without the video."""

import json
from pathlib import Path

from inframe.core.config import Device
from inframe.core.types import Decision
from inframe.recording import schema
from inframe.recording.about import digest
from inframe.recording.events import Said
from inframe.recording.read import Recording
from inframe.recording.storage import PLAIN
from inframe.recording.write import RecordingWriter, Settings, texts

REPLAY, OF = ".replay", "replay_of"
"""How its name goes on before the number; the key of its metadata that names the recording."""


def replays_of(path: Path) -> list[Path]:
    """The kept replays of the recording that the part `path` belongs to, oldest first."""
    stem = path.name.partition(".")[0]
    return sorted(path.parent.glob(f"{stem}{REPLAY}.*{PLAIN}"))


def is_replay(path: Path) -> bool:
    """Whether it is one, by its name."""
    return path.name.partition(".")[2].startswith(f"{REPLAY[1:]}.")


class Kept:
    """Writes it. Raises OSError."""

    def __init__(self, recording: Recording, device: Device) -> None:
        first = recording.paths[0]
        models = {name: digest(model) for name, model in device.models.items()}
        metadata = {**recording.metadata, "models": json.dumps(models), OF: first.name}
        name = first.name.partition(".")[0] + REPLAY
        self._settings = Settings(first.parent, name, device, metadata, recording.wall_minus_monotonic_ns)
        self._writer = RecordingWriter(self._settings, texts(device))
        self._said: dict[str, int] = {}

    def decision(self, recorded: schema.Decision, replayed: Decision) -> None:
        """What was decided now, where `recorded` was before."""
        for one in replayed.shown:
            if self._said.get(one.model) != one.seq:
                self._said[one.model] = one.seq
                said = Said(one.model, one.seq, one.captured_ns, one.steps.decoded, one.steps, one.output)
                self._writer.take(said, recorded.deadline_ns)
        changed = {
            "verdict": replayed.verdict.name,
            "mode": replayed.mode.name,
            "age_ns": replayed.age_ns,
            "findings": [schema.Found(rule=f.rule, value=f.value, since_ns=f.since_ns) for f in replayed.findings],
            "alerts": {one.key: one.presence.name for one in replayed.alerts},
        }
        self._writer.take(recorded.model_copy(update=changed), recorded.deadline_ns)

    def close(self) -> list[Path]:
        """Complete it; its files."""
        self._writer.close()
        return replays_of(self._settings.folder / f"{self._settings.name}{PLAIN}")
