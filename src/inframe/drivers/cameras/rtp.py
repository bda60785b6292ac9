"""RTP packets to access units (whole coded pictures): RFC 3550 (RTP), RFC 6184 (H.264), RFC 7798 (H.265). Bytes in,
values out; no input or output of its own.

Not FFmpeg's, for two reasons found by test. FFmpeg hands out a picture only when the first packet of the next one is
there (its parser must see the end), one frame period late and without saying so; RTP marks the last packet of a
picture. And FFmpeg decodes on over lost packets without flagging what is predicted from the lost picture; RTP numbers
its packets.
"""

import struct
from dataclasses import dataclass
from typing import Literal

Codec = Literal["h264", "hevc"]

START_CODE = b"\0\0\0\1"
MAX_PICTURE_BYTES = 16 << 20
_SINGLE_H264 = range(1, 24)
_STAP_A, _FU_A = 24, 28
_AP, _FU = 48, 49


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture."""

    data: bytes
    """Annex B: each NAL unit after a start code."""
    timestamp: int
    """Of the RTP clock; grows beyond 32 bits instead of starting over."""
    damaged: bool
    """A packet of it, or before it, was lost or made no sense."""


class Depacketizer:
    """Feed it packets as they come. `payload_type`: packets of another are ignored."""

    def __init__(self, codec: Codec, payload_type: int) -> None:
        self._payload_type = payload_type
        self._add = self._add_h264 if codec == "h264" else self._add_hevc
        self._sequence: int | None = None
        self._timestamp: int | None = None
        self._data = bytearray()
        self._in_fragment = False
        self._damaged = False

    def push(self, packet: bytes) -> list[AccessUnit]:
        """The access units that this packet completes: none, one, or (if the end of the previous one was lost) two."""
        parsed = _parse(packet)
        if parsed is None or parsed.payload_type != self._payload_type:
            return []
        done: list[AccessUnit] = []
        lost = self._sequence is not None and parsed.sequence != (self._sequence + 1) & 0xFFFF
        self._sequence = parsed.sequence
        timestamp = self._unwrap(parsed.timestamp)
        if self._data and timestamp != self._timestamp:
            self._damaged |= lost
            done.append(self._finish())
        self._timestamp = timestamp
        self._damaged |= lost
        if lost:
            self._in_fragment = False
        if len(self._data) + len(parsed.payload) > MAX_PICTURE_BYTES or not self._add(parsed.payload):
            self._damaged = True
        if parsed.marker and (self._data or self._damaged):
            done.append(self._finish())
        return done

    def _finish(self) -> AccessUnit:
        unit = AccessUnit(bytes(self._data), self._timestamp or 0, self._damaged or self._in_fragment)
        self._data.clear()
        self._damaged = self._in_fragment = False
        return unit

    def _unwrap(self, timestamp: int) -> int:
        if self._timestamp is None:
            return timestamp
        step = (timestamp - self._timestamp) & 0xFFFFFFFF
        return self._timestamp + (step if step < 1 << 31 else step - (1 << 32))

    def _add_h264(self, payload: bytes) -> bool:
        """False if the payload makes no sense."""
        kind = payload[0] & 0x1F
        if kind in _SINGLE_H264:
            return self._nal(payload)
        if kind == _STAP_A:
            return self._aggregate(payload[1:])
        if kind == _FU_A and len(payload) > 2:
            return self._fragment(payload[1], bytes((payload[0] & 0xE0 | payload[1] & 0x1F,)), payload[2:])
        return False

    def _add_hevc(self, payload: bytes) -> bool:
        kind = payload[0] >> 1 & 0x3F
        if kind == _AP:
            return self._aggregate(payload[2:])
        if kind == _FU and len(payload) > 3:
            head = bytes((payload[0] & 0x81 | (payload[2] & 0x3F) << 1, payload[1]))
            return self._fragment(payload[2], head, payload[3:])
        return kind < _AP and len(payload) > 2 and self._nal(payload)

    def _nal(self, nal: bytes) -> bool:
        whole = not self._in_fragment
        self._in_fragment = False
        self._data += START_CODE + nal
        return whole

    def _aggregate(self, rest: bytes) -> bool:
        while len(rest) > 2:
            size = int.from_bytes(rest[:2], "big")
            if not 0 < size <= len(rest) - 2:
                return False
            self._nal(rest[2 : 2 + size])
            rest = rest[2 + size :]
        return not rest

    def _fragment(self, edges: int, head: bytes, body: bytes) -> bool:
        first, last = edges & 0x80, edges & 0x40
        if first:
            whole = self._nal(head + body)
        else:
            whole = self._in_fragment
            if whole:
                self._data += body
        self._in_fragment = whole and not last
        return whole


@dataclass(frozen=True, slots=True)
class _Packet:
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    payload: bytes


def _parse(packet: bytes) -> _Packet | None:
    """RFC 3550, 5.1; None for what is no RTP packet with a payload."""
    if len(packet) < 12 or packet[0] >> 6 != 2:
        return None
    first, second, sequence, timestamp = struct.unpack_from(">BBHI", packet)
    start, end = 12 + 4 * (first & 0x0F), len(packet)
    if first & 0x10:  # a header extension
        if len(packet) < start + 4:
            return None
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    if first & 0x20:  # padding, its length in the last byte
        end -= packet[-1]
    if start >= end:
        return None
    return _Packet(second & 0x7F, bool(second & 0x80), sequence, timestamp, packet[start:end])
