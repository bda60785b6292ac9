"""The file is what the MCAP tools of others expect: read here with the `mcap` package alone, and with the schemas in the file."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import av
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from mcap.reader import make_reader
from mcap.records import Channel, Message, Schema

from inframe.core.clock import NS_PER_S
from inframe.core.config import RtspStream
from inframe.recording import schema
from inframe.recording.about import without_secrets
from tests.recording.procedures import BEGAN, FPS, HEIGHT, WALL, WIDTH, Procedure, device

Found = list[tuple[Schema, Channel, Message]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Procedure, Path]:
    procedure = Procedure(device(tmp_path_factory.mktemp("mcap")), seed=4, frames=90).run()
    return procedure, procedure.write()


def messages(path: Path) -> Found:
    with path.open("rb") as file:
        return [(s, c, m) for s, c, m in make_reader(file, validate_crcs=True).iter_messages() if s is not None]


def decoded(found: Found, topic: str) -> list[Any]:
    """The messages of a topic, by nothing but the schema that the file brings."""
    out = []
    for described, channel, message in found:
        if channel.topic != topic:
            continue
        if described.encoding == "jsonschema":
            out.append(json.loads(message.data))
            continue
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(described.data).file:
            pool.Add(file)
        out.append(message_factory.GetMessageClass(pool.FindMessageTypeByName(described.name)).FromString(message.data))
    return out


def test_topics_and_schemas(made: tuple[Procedure, Path]) -> None:
    found = {(c.topic, s.name, s.encoding, c.message_encoding) for s, c, _ in messages(made[1])}
    assert found >= {
        ("/endoscope", "foxglove.CompressedVideo", "protobuf", "protobuf"),
        ("/m/map", "foxglove.RawImage", "protobuf", "protobuf"),
        ("/count/map", "foxglove.RawImage", "protobuf", "protobuf"),
        ("/alerts", "foxglove.Log", "protobuf", "protobuf"),
        ("/m/result", "inframe.Result", "jsonschema", "json"),
        ("/decision", "inframe.Decision", "jsonschema", "json"),
        ("/status", "inframe.Status", "jsonschema", "json"),
        ("/session", "inframe.Session", "jsonschema", "json"),
    }


def test_every_own_message_has_the_keys_of_its_schema(made: tuple[Procedure, Path]) -> None:
    for described, _, message in messages(made[1]):
        if described.encoding == "jsonschema":
            known = json.loads(described.data)
            content = json.loads(message.data)
            assert set(known["required"]) <= set(content) <= set(known["properties"])
            assert known["title"] == described.name.partition(".")[2]


def test_the_statistics_count_what_there_is(made: tuple[Procedure, Path]) -> None:
    procedure, path = made
    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    assert summary.statistics is not None
    counts = Counter({summary.channels[k].topic: n for k, n in summary.statistics.channel_message_counts.items()})
    assert counts["/endoscope"] == 90
    assert counts["/decision"] == len(procedure.decisions)
    assert summary.statistics.chunk_count == len(summary.chunk_indexes) > 1


def test_times_are_of_the_day_and_sequences_are_the_frames(made: tuple[Procedure, Path]) -> None:
    video = [m for _, c, m in messages(made[1]) if c.topic == "/endoscope"]
    assert [m.sequence for m in video] == list(range(1, 91))
    images = decoded(messages(made[1]), "/endoscope")
    stamps = [i.timestamp.seconds * NS_PER_S + i.timestamp.nanos for i in images]
    assert stamps == [m.log_time for m in video] == sorted(stamps)
    assert WALL < stamps[0] < WALL + 10 * NS_PER_S


def test_the_video_plays_anywhere(made: tuple[Procedure, Path]) -> None:
    """Foxglove's rules for h264: Annex B, one frame a message, a parameter set with each key frame, no frame held back."""
    found = decoded(messages(made[1]), "/endoscope")
    codec: Any = av.CodecContext.create("h264", "r")
    keys = 0
    for image in found:
        assert image.format == "h264"
        assert image.frame_id == "endoscope"
        kinds = [part[0] & 31 for part in image.data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]]
        assert (5 in kinds) == (7 in kinds) == (8 in kinds)
        keys += 5 in kinds
        (frame,) = codec.decode(av.Packet(image.data))
        assert (frame.width, frame.height) == (WIDTH, HEIGHT)
    assert keys == 90 // FPS


def test_maps_are_pictures_and_alerts_are_told(made: tuple[Procedure, Path]) -> None:
    found = messages(made[1])
    masks = decoded(found, "/m/map")
    assert masks
    for image in masks:
        assert (image.encoding, image.step, len(image.data)) == ("mono8", image.width, image.width * image.height)
    logs = decoded(found, "/alerts")
    assert any(log.name == "AI_LATE" and log.message == "AI LATE" for log in logs)
    assert {log.level for log in logs} <= set(schema.LEVELS.values())


def test_metadata_says_what_ran(made: tuple[Procedure, Path]) -> None:
    with made[1].open("rb") as file:
        (metadata,) = list(make_reader(file).iter_metadata())
    said = metadata.metadata
    assert metadata.name == "inframe"
    assert said["format"] == schema.FORMAT
    assert said["wall_minus_monotonic_ns"] == str(WALL - BEGAN)
    assert {len(digest) for digest in json.loads(said["models"]).values()} == {64}
    assert json.loads(said["device"])["display"] == "endoscope"


def test_no_password_is_recorded(tmp_path: Path) -> None:
    file = device(tmp_path)
    url = "rtsp://surgeon:secret@192.0.2.1:554/live"
    stream = RtspStream(camera="rtsp", url=url, width=WIDTH, height=HEIGHT, fps=FPS)
    said = without_secrets(file.model_copy(update={"streams": {"endoscope": stream}}))
    assert "secret" not in said.model_dump_json()
    assert "192.0.2.1:554/live" in said.model_dump_json()
