"""The golden recording: some seconds of the demo's procedure, small, lossless, as a real device recorded them.

python -m tests.recording.golden --refresh      records it anew: only when a change of the pipeline's results is meant
"""

import json
import sys
import tempfile
from pathlib import Path

import av
from mcap.records import Metadata
from mcap.writer import CompressionType, Writer

from inframe.core.config import Device, FileStream, RecordingConfig
from inframe.core.rule import Rule
from inframe.core.yamlfile import read_device
from inframe.procedure import run
from inframe.recording import schema
from inframe.recording.read import Health, records
from inframe.recording.recover import Copy
from inframe.reference_device import device_file
from inframe.resolve import resolve

GOLDEN = Path(__file__).with_name("golden.mcap")
WIDTH, HEIGHT = 160, 90
FIRST, FRAMES = 20, 72
"""Of the procedure: an instrument comes near the gallbladder."""

RULES = {
    "near": Rule.model_validate(
        {
            "model": "anatomy",
            "when": {"kind": "distance", "source": "instrument tip", "target": "gallbladder", "below": 0.5},
            "persist": {"k": 3, "n": 5},
            "clear_s": 0.2,
            "text": "NEAR",
        }
    ),
    "much": Rule.model_validate(
        {
            "model": "anatomy",
            "when": {"kind": "area", "labels": ["gallbladder"], "above": 0.03},
            "persist": {"seconds": 0.5},
            "text": "MUCH",
        }
    ),
}
"""Those of the demo seldom fire on so small a picture."""


def with_shipped_models(device: Device) -> Device:
    """The golden recording names files only: those of the reference device are meant."""
    folder = device_file().parent
    models = {name: m.model_copy(update={"file": str(folder / m.file)}) for name, m in device.models.items()}
    return device.model_copy(update={"models": models})


def refresh() -> None:
    """Record it anew on this machine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = device_file()
        device = resolve(read_device(path), path)
        stream = FileStream(
            camera="file", path=str(_excerpt(device, folder)), width=WIDTH, height=HEIGHT, fps=30, pace="fast"
        )
        recording = RecordingConfig(folder=str(folder / "recordings"), codec="lossless")
        changes = {"streams": {"endoscope": stream}, "recording": recording, "trail": None, "rules": RULES}
        summary = run(device.model_copy(update=changes), path)
        (made,) = (folder / "recordings").glob("*.mcap")
        _without_paths(made)
    sys.stdout.write(f"{GOLDEN.name}: {GOLDEN.stat().st_size} bytes; {summary.verdicts}\n")


def _excerpt(device: Device, folder: Path) -> Path:
    """A small piece of the procedure's video, lossless."""
    shown = device.streams["endoscope"]
    assert isinstance(shown, FileStream)
    path = folder / "excerpt.mkv"
    with av.open(shown.path) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264rgb", rate=30, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgb24"
        for number, frame in enumerate(source.decode(video=0)):
            if FIRST <= number < FIRST + FRAMES:
                small = frame.reformat(WIDTH, HEIGHT, "rgb24")
                small.pts = None
                for packet in stream.encode(small):
                    target.mux(packet)
        for packet in stream.encode(None):
            target.mux(packet)
    return path


def _without_paths(made: Path) -> None:
    """Files by their names: the golden recording must say nothing of the machine on which it was made but its processor."""
    with made.open("rb") as source, GOLDEN.open("wb") as target:
        writer = Writer(target, compression=CompressionType.ZSTD)
        writer.start(library=schema.FORMAT)
        copy = Copy(writer)
        for record in records(source, made.name, Health()):
            if isinstance(record, Metadata):
                said = dict(record.metadata)
                device = Device.model_validate_json(said["device"])
                models = {n: m.model_copy(update={"file": Path(m.file).name}) for n, m in device.models.items()}
                stream = device.streams["endoscope"].model_copy(update={"path": "excerpt.mkv"})
                recording = RecordingConfig(folder="recordings", codec="lossless")
                changes = {"models": models, "streams": {"endoscope": stream}, "recording": recording, "screens": ()}
                said["device"] = json.dumps(device.model_copy(update=changes).model_dump(mode="json"))
                said["boot"] = ""
                copy.add(Metadata(record.name, said))
            else:
                copy.add(record)
        writer.finish()


if __name__ == "__main__":
    if sys.argv[1:] != ["--refresh"]:
        sys.exit(__doc__)
    refresh()
