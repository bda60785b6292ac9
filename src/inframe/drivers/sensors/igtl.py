"""OpenIGTLink: poses from a tracking or navigation server (3D Slicer, PLUS). Our own reader of TRANSFORM and STATUS: a library's
client is a thread that reaches wherever it likes, and one TCP connection to one address is what the system-call filter permits.

Source: the protocol's specification, version 1 to 3, openigtlink.org (openigtlink/OpenIGTLink, Documents/Protocol).

    header   version u16 | type 12 bytes | device name 20 bytes | time stamp u64 | body's size u64 | CRC-64 u64 | body
    body     of version 3: u16 size of what precedes the content …; TRANSFORM: 12 float32, the columns of [R | t], t in mm

A TRANSFORM that is no rotation, and a STATUS that is not OK, is a sample without a number: a gap. Big-endian throughout.
"""

import math
import socket
import struct
from dataclasses import dataclass

from inframe.core.clock import NS_PER_S, Clock
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.ports import Block
from inframe.core.sensor import IgtlSensor
from inframe.drivers.sensors.tcp import receive

_HEADER = struct.Struct(">H12s20sQQQ")
_MATRIX = struct.Struct(">12f")
_STATUS_CODE = struct.Struct(">H")
_EXTENDED = struct.Struct(">HHII")
STATUS_OK = 1
MAX_BODY = 64 << 20
CONNECT_S = 1.0
POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
"""What a channel may be, or have as its `source`: the translation in mm and the rotation as a unit quaternion."""
_POLYNOMIAL = 0x42F0E1EBA9EA3693  # CRC-64 of ECMA-182


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        crc = byte << 56
        for _ in range(8):
            crc = (crc << 1 ^ _POLYNOMIAL if crc >> 63 else crc << 1) & (1 << 64) - 1
        rows.append(crc)
    return tuple(rows)


_CRC = _table()


def crc64(data: bytes) -> int:
    """The checksum of a body."""
    crc = 0
    for byte in data:
        crc = _CRC[crc >> 56 ^ byte] ^ crc << 8 & (1 << 64) - 1
    return crc


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a server."""

    kind: str
    device: str
    stamp_ns: int
    """The sender's clock; 0: it has none."""
    content: bytes


class Messages:
    """Bytes in, messages out; no I/O. Raises DeviceFault for what is not OpenIGTLink."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._skip = 0

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are now whole. What is too large to be a pose is passed over."""
        self._data += data
        found: list[Message] = []
        while True:
            skipped = min(self._skip, len(self._data))
            del self._data[:skipped]
            self._skip -= skipped
            if self._skip or len(self._data) < _HEADER.size:
                return found
            version, kind, device, stamp, size, crc = _HEADER.unpack_from(self._data)
            if not 1 <= version <= 3 or size > MAX_BODY:
                raise DeviceFault(f"not OpenIGTLink: version {version}, {size} bytes")
            if size > 1 << 16:
                self._skip = _HEADER.size + size
                continue
            if len(self._data) < _HEADER.size + size:
                return found
            body = bytes(self._data[_HEADER.size : _HEADER.size + size])
            del self._data[: _HEADER.size + size]
            if crc64(body) != crc:
                raise DeviceFault(f"a {_text(kind)} message whose checksum does not fit")
            content = _content(body) if version == 3 else body
            found.append(Message(_text(kind), _text(device), _nanoseconds(stamp), content))


def _content(body: bytes) -> bytes:
    """Version 3: without the extended header and the metadata behind the content."""
    if len(body) < _EXTENDED.size:
        return b""
    size, head, meta, _ = _EXTENDED.unpack_from(body)
    return body[size : len(body) - head - meta]


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("ascii", "replace")


def _nanoseconds(stamp: int) -> int:
    """Seconds, and 2^-32 of them."""
    return (stamp >> 32) * NS_PER_S + ((stamp & 0xFFFFFFFF) * NS_PER_S >> 32)


def pose(content: bytes) -> tuple[float, ...] | None:
    """x y z in mm, qx qy qz qw; None for what is no rotation and translation."""
    if len(content) != _MATRIX.size:
        return None
    m = _MATRIX.unpack(content)
    rows = [[m[0], m[3], m[6]], [m[1], m[4], m[7]], [m[2], m[5], m[8]]]
    if not all(map(math.isfinite, m)):
        return None
    for i in range(3):
        for j in range(i, 3):
            if abs(sum(rows[k][i] * rows[k][j] for k in range(3)) - (i == j)) > 1e-3:
                return None
    return (*m[9:], *_quaternion(rows))


def _quaternion(r: list[list[float]]) -> tuple[float, ...]:
    """Of a rotation matrix (Shepperd 1978: by the largest component, so that nothing small is divided by)."""
    trace = r[0][0] + r[1][1] + r[2][2]
    squares = [r[0][0] * 2 - trace, r[1][1] * 2 - trace, r[2][2] * 2 - trace, trace]
    best = max(range(4), key=lambda i: squares[i])
    off = (r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1])
    if best == 3:
        q = [*off, 1 + trace]
    else:
        j, k = (best + 1) % 3, (best + 2) % 3
        q = [0.0, 0.0, 0.0, off[best]]
        q[best], q[j], q[k] = 1 + squares[best], r[best][j] + r[j][best], r[best][k] + r[k][best]
    length = math.sqrt(sum(x * x for x in q))
    return tuple(x / length for x in q)


class IgtlTracker:
    """A `core.ports.Sensor`: a client of one server."""

    def __init__(self, sensor: IgtlSensor, clock: Clock) -> None:
        self._sensor, self._clock = sensor, clock
        names = [channel.source or name for name, channel in sensor.channels.items()]
        for name, channel in zip(names, sensor.channels.values(), strict=True):
            if name not in POSE:
                raise ConfigError("igtl", "channels", name, f"one of {', '.join(POSE)}")
            unit = "" if name.startswith("q") else "mm"
            if channel.unit != unit:
                raise ConfigError("igtl", f"channels.{name}.unit", channel.unit, f"{unit!r}, as OpenIGTLink has it")
        self._order = [POSE.index(name) for name in names]
        self._messages = Messages()
        try:
            self._socket: socket.socket | None = socket.create_connection((sensor.host, sensor.port), CONNECT_S)
        except OSError as error:
            raise DeviceFault(f"{sensor.host}:{sensor.port}: {error.strerror or error}") from None

    def read(self, timeout_s: float) -> Block | None:
        """See core.ports.Sensor."""
        data = receive(self._socket, self._sensor.host, timeout_s)
        if data is None:
            return None
        now = self._clock.now()
        values, stamps = [], []
        for message in self._messages.feed(data):
            value = self._value(message)
            if value is not None:
                values.append(value)
                stamps.append(message.stamp_ns)
        if not values:
            return None
        return Block(values, now, stamps if all(stamps) else None)

    def _value(self, message: Message) -> tuple[float, ...] | None:
        """Of a message of ours; None for any other one."""
        if message.device != self._sensor.name:
            return None
        nothing = (math.nan,) * len(self._order)
        if message.kind == "TRANSFORM":
            found = pose(message.content)
            return tuple(found[i] for i in self._order) if found is not None else nothing
        if message.kind == "STATUS" and len(message.content) >= _STATUS_CODE.size:
            return None if _STATUS_CODE.unpack_from(message.content)[0] == STATUS_OK else nothing
        return None

    def close(self) -> None:
        """See core.ports.Sensor."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
