"""OpenIGTLink: poses from a tracking or navigation server (3D Slicer, PLUS), of `drivers/igtl.py`'s messages.

    TRANSFORM   12 float32, the columns of [R | t], t in mm
    STATUS      code u16 …

A TRANSFORM that is no rotation, and a STATUS that is not OK, is a sample without a number: a gap.
"""

import math
import socket
import struct

from inframe.core.clock import Clock
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.ports import Block
from inframe.core.sensor import IgtlSensor
from inframe.drivers.igtl import CONNECT_S, Message, Messages
from inframe.drivers.tcp import receive

_MATRIX = struct.Struct(">12f")
_STATUS_CODE = struct.Struct(">H")
STATUS_OK = 1
LARGEST = 1 << 16
"""Bytes of a message: a larger one is no pose."""
POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
"""What a channel may be, or have as its `source`: the translation in mm and the rotation as a unit quaternion."""


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
        self._messages = Messages(LARGEST)
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
