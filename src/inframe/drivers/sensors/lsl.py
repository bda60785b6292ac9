"""Lab Streaming Layer: one outlet, over the TCP port that it serves. Our own reader of protocol 1.10, as the library finds its
peers by multicast and answers on ports of its own choice; one address is what the system-call filter permits.

Source: liblsl, tcp_server.cpp, data_receiver.cpp and sample.cpp (github.com/sccn/liblsl). Two requests, a connection each:

    LSL:fullinfo                      an XML text about the outlet: of it a few plain fields are read, and no XML parser is used
    LSL:streamfeed/110 UID, headers   "LSL/110 200 OK", headers; then two samples of a known pattern, then samples:
                                      u8 1 (the time follows from the rate) or 2 and float64 seconds | a number for each channel
"""

import math
import re
import socket
import struct
from dataclasses import dataclass

from inframe.core.clock import NS_PER_S, Clock
from inframe.core.errors import ConfigError, DeviceFault
from inframe.core.ports import Block
from inframe.core.sensor import LslSensor
from inframe.drivers.tcp import receive

CONNECT_S = 1.0
MAX_INFO, MAX_HEAD, MAX_CHANNELS = 1 << 20, 1 << 14, 4096
FORMATS = {"float32": "f", "double64": "d", "int8": "b", "int16": "h", "int32": "i", "int64": "q"}
"""Those of numbers; an outlet of texts is refused."""
PATTERNS = 2
_DEDUCED, _TRANSMITTED = 1, 2
_TIME = struct.Struct("<d")
_HEADERS = (
    "Native-Byte-Order: 1234\r\nEndian-Performance: 0\r\nHas-IEEE754-Floats: 1\r\nSupports-Subnormals: 1\r\n"
    "Value-Size: {size}\r\nData-Protocol-Version: 110\r\nMax-Buffer-Length: 60\r\nMax-Chunk-Length: 0\r\n"
    "Hostname: inframe\r\nSource-Id: \r\nSession-Id: default\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Outlet:
    """What an outlet says of itself."""

    uid: str
    name: str
    channels: int
    format: str
    rate_hz: float
    """0: irregular."""
    labels: tuple[str, ...]
    units: tuple[str, ...]


def read_info(text: str) -> Outlet:
    """From its description. Raises DeviceFault for what is none."""

    def field(name: str) -> str:
        found = re.search(rf"<{name}>([^<]{{0,200}})</{name}>", text)
        if found is None:
            raise DeviceFault(f"not an LSL outlet: no {name}")
        return found[1].strip()

    try:
        channels, rate = int(field("channel_count")), float(field("nominal_srate"))
    except ValueError:
        raise DeviceFault("not an LSL outlet: a count or a rate that is no number") from None
    if not (0 < channels <= MAX_CHANNELS and 0 <= rate < math.inf):
        raise DeviceFault(f"an LSL outlet of {channels} channels at {rate} Hz")
    labels, units = (tuple(re.findall(rf"<{name}>([^<]{{0,200}})</{name}>", text)) for name in ("label", "unit"))
    return Outlet(field("uid"), field("name"), channels, field("channel_format"), rate, labels, units)


class Samples:
    """Bytes in, samples out; no I/O. Raises DeviceFault for what is not the stream that was promised."""

    def __init__(self, outlet: Outlet) -> None:
        self._values = struct.Struct(f"<{outlet.channels}{FORMATS[outlet.format]}")
        self._step_ns = NS_PER_S / outlet.rate_hz if outlet.rate_hz else 0.0
        self._data = bytearray()
        self._head = True
        self._patterns = PATTERNS
        self._last_ns = 0

    def feed(self, data: bytes) -> list[tuple[int, tuple[float, ...]]]:
        """Times on the outlet's clock, ns, and numbers."""
        self._data += data
        if self._head and not self._read_head():
            return []
        found, at = [], 0
        while (end := self._whole(at)) is not None:
            if self._data[at] == _TRANSMITTED:
                seconds = _TIME.unpack_from(self._data, at + 1)[0]
                self._last_ns = round(seconds * NS_PER_S) if math.isfinite(seconds) and abs(seconds) < 1e9 else 0
            else:
                self._last_ns += round(self._step_ns)
            values = self._values.unpack_from(self._data, end - self._values.size)
            at = end
            if self._patterns:
                self._patterns -= 1
            else:
                found.append((self._last_ns, values))
        del self._data[:at]
        return found

    def _whole(self, at: int) -> int | None:
        """Where the sample that begins there ends; None if it is not all here."""
        if at >= len(self._data):
            return None
        if self._data[at] not in (_DEDUCED, _TRANSMITTED):
            raise DeviceFault(f"an LSL sample that begins with {self._data[at]}")
        end = at + 1 + (_TIME.size if self._data[at] == _TRANSMITTED else 0) + self._values.size
        return end if end <= len(self._data) else None

    def _read_head(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            if len(self._data) > MAX_HEAD:
                raise DeviceFault("not an LSL outlet: an endless header")
            return False
        head = bytes(self._data[:end]).decode("ascii", "replace")
        del self._data[: end + 4]
        told = dict(line.partition(":")[::2] for line in head.split("\r\n")[1:])
        if not re.match(r"LSL/\d+ 200 ", head):
            raise DeviceFault(f"the LSL outlet refuses: {head.splitlines()[0] if head else 'nothing'}")
        if told.get("Data-Protocol-Version", "").strip() != "110" or told.get("Byte-Order", "").strip() not in (
            "1234",
            "0",
        ):
            raise DeviceFault("an LSL outlet of another protocol or byte order")
        self._head = False
        return True


class LslInlet:
    """A `core.ports.Sensor`: a client of one outlet."""

    def __init__(self, sensor: LslSensor, clock: Clock) -> None:
        self._sensor, self._clock = sensor, clock
        self._socket: socket.socket | None = None
        self.outlet = outlet = read_info(self._ask())
        self._order = _order(sensor, outlet)
        self._samples = Samples(outlet)
        self._socket = self._connect()
        size = struct.calcsize(FORMATS[outlet.format])
        self._socket.sendall(
            f"LSL:streamfeed/110 {outlet.uid}\r\n{_HEADERS.format(size=size)}".encode("ascii", "replace")
        )

    def _connect(self) -> socket.socket:
        try:
            return socket.create_connection((self._sensor.host, self._sensor.port), CONNECT_S)
        except OSError as error:
            raise DeviceFault(f"{self._sensor.host}:{self._sensor.port}: {error.strerror or error}") from None

    def _ask(self) -> str:
        """The outlet's description."""
        data = b""
        with self._connect() as client:
            try:
                client.sendall(b"LSL:fullinfo\r\n")
                while b"</info>" not in data and len(data) < MAX_INFO and (more := client.recv(1 << 16)):
                    data += more
            except OSError as error:
                raise DeviceFault(f"{self._sensor.host}: {error.strerror or error}") from None
        return data.decode("utf-8", "replace")

    def read(self, timeout_s: float) -> Block | None:
        """See core.ports.Sensor."""
        data = receive(self._socket, self._sensor.host, timeout_s)
        if data is None:
            return None
        now, found = self._clock.now(), self._samples.feed(data)
        if not found:
            return None
        return Block([[float(values[i]) for i in self._order] for _, values in found], now, [ns for ns, _ in found])

    def close(self) -> None:
        """See core.ports.Sensor."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _order(sensor: LslSensor, outlet: Outlet) -> list[int]:
    """Where each channel stands in the outlet's samples: by its label, or by a number from 0. Raises ConfigError."""
    if outlet.format not in FORMATS:
        raise ConfigError("lsl", "channels", f"an outlet of {outlet.format}", f"one of {', '.join(FORMATS)}")
    if outlet.rate_hz and abs(outlet.rate_hz - sensor.rate_hz) > 1e-3 * outlet.rate_hz:
        raise ConfigError("lsl", "rate_hz", sensor.rate_hz, f"{outlet.rate_hz:g}, as {outlet.name} says")
    order = []
    for name, channel in sensor.channels.items():
        source = channel.source or name
        at = outlet.labels.index(source) if source in outlet.labels else int(source) if source.isdecimal() else -1
        if not 0 <= at < outlet.channels:
            known = ", ".join(outlet.labels) or f"0 to {outlet.channels - 1}"
            raise ConfigError("lsl", f"channels.{name}", source, f"one of {known}")
        if len(outlet.units) == outlet.channels and outlet.units[at] and outlet.units[at] != channel.unit:
            raise ConfigError(
                "lsl", f"channels.{name}.unit", channel.unit, f"{outlet.units[at]}, as {outlet.name} says"
            )
        order.append(at)
    return order
