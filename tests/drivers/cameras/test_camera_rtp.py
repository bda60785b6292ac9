"""RTP packets to pictures, and the words of RTSP, without a network."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframe.chaos.rtsp_server import nal_units, payloads
from inframe.core.errors import ConfigError
from inframe.drivers.cameras.rtp import START_CODE, AccessUnit, Codec, Depacketizer
from inframe.drivers.cameras.rtsp_session import RtspSession, authorization, parse_sdp, without_password


def packet(
    sequence: int, payload: bytes, *, time: int = 0, marker: bool = False, kind: int = 96, first: int = 0x80
) -> bytes:
    return struct.pack(">BBHII", first, marker << 7 | kind, sequence & 0xFFFF, time & 0xFFFFFFFF, 7) + payload


def push(*packets: bytes, codec: Codec = "h264") -> list[AccessUnit]:
    depacketizer = Depacketizer(codec, 96)
    return [unit for data in packets for unit in depacketizer.push(data)]


def unit(*nals: bytes, time: int = 0, damaged: bool = False) -> AccessUnit:
    return AccessUnit(b"".join(START_CODE + nal for nal in nals), time, damaged)


def test_a_picture_is_there_with_its_marked_packet() -> None:
    assert push(packet(1, b"\x67sps"), packet(2, b"\x68pps"), packet(3, b"\x65idr", marker=True)) == [
        unit(b"\x67sps", b"\x68pps", b"\x65idr")
    ]


def test_h264_fragments_and_aggregates() -> None:
    nal = b"\x65" + bytes(range(256)) * 20
    parts = list(payloads(nal))
    assert len(parts) > 3
    assert push(*(packet(i, part, marker=i == len(parts) - 1) for i, part in enumerate(parts))) == [unit(nal)]
    assert push(packet(1, b"\x18\0\x02ab\0\x03cde", marker=True)) == [unit(b"ab", b"cde")]
    assert push(packet(1, b"\x18\0\x02ab\0\x09cde", marker=True)) == [unit(b"ab", damaged=True)]


def test_h265_single_fragments_and_aggregates() -> None:
    assert push(packet(1, b"\x40\x01vps", marker=True), codec="hevc") == [unit(b"\x40\x01vps")]
    assert push(packet(1, b"\x60\x01\0\x02ab\0\x01c", marker=True), codec="hevc") == [unit(b"ab", b"c")]
    fragments = (b"\x62\x01\x93one", b"\x62\x01\x13two", b"\x62\x01\x53six")
    assert push(*(packet(i, part, marker=i == 2) for i, part in enumerate(fragments)), codec="hevc") == [
        unit(b"\x26\x01onetwosix")
    ]


def test_a_lost_packet_damages_the_picture_that_it_was_in_and_the_next() -> None:
    nal = b"\x41" + bytes(5000)
    parts = list(payloads(nal))
    for lost in range(len(parts)):
        packets = [packet(i, part, marker=i == len(parts) - 1) for i, part in enumerate(parts) if i != lost]
        units = push(
            packet(-1, b"\x41first", time=-1, marker=True),
            *packets,
            packet(len(parts), b"\x41next", time=1, marker=True),
        )
        assert [u.damaged for u in units] == [False, True] + ([False] if lost < len(parts) - 1 else [True])


def test_a_whole_lost_picture_damages_the_next() -> None:
    units = push(*(packet(i, b"\x41p", time=i, marker=True) for i in (1, 2, 4, 5)))
    assert [(u.timestamp, u.damaged) for u in units] == [(1, False), (2, False), (4, True), (5, False)]


def test_cameras_that_never_mark_the_end() -> None:
    units = push(*(packet(i, b"\x41p", time=i) for i in range(4)))
    assert units == [unit(b"\x41p", time=i) for i in range(3)]


def test_sequence_numbers_and_time_stamps_start_over() -> None:
    units = push(*(packet(0xFFFE + i, b"\x41p", time=(1 << 32) - 3000 + i * 3000, marker=True) for i in range(4)))
    base = (1 << 32) - 3000
    assert [(u.timestamp - base, u.damaged) for u in units] == [(0, False), (3000, False), (6000, False), (9000, False)]


def test_time_stamps_go_back_where_pictures_are_reordered() -> None:
    units = push(*(packet(i, b"\x41p", time=time, marker=True) for i, time in enumerate((0, 6000, 3000))))
    assert [(u.timestamp, u.damaged) for u in units] == [(0, False), (6000, False), (3000, False)]


def test_header_extension_padding_and_other_payloads() -> None:
    extended = packet(1, b"\xbe\xde\0\x01abcd" + b"\x41p", marker=True, first=0x90)
    padded = packet(2, b"\x41p\0\0\x03", time=1, marker=True, first=0xA0)
    other = packet(9, b"sound", kind=97)
    assert push(extended, other, padded) == [unit(b"\x41p"), unit(b"\x41p", time=1)]


@given(
    st.lists(
        st.binary(max_size=40) | st.binary(min_size=13, max_size=60).map(lambda b: b"\x80\x60" + b[2:]), max_size=20
    )
)
def test_any_bytes_are_survived(packets: list[bytes]) -> None:
    push(*packets)
    push(*packets, codec="hevc")


def test_nal_units_of_the_test_server() -> None:
    assert nal_units(b"\0\0\0\1\x67a\0\0\1\x68b") == [b"\x67a", b"\x68b"]


# --- RTSP ------------------------------------------------------------------------------------------------------------

SDP = (
    "v=0\r\nm=audio 0 RTP/AVP 0\r\na=control:track1\r\nm=video 0 RTP/AVP 97\r\n"
    "a=rtpmap:97 H265/90000\r\na=fmtp:97 sprop-vps=QAE=; sprop-sps=QgE=;sprop-pps=RAE=\r\na=control:track2\r\n"
)


def test_sdp() -> None:
    media = parse_sdp(SDP, "camera")
    assert (media.codec, media.payload_type, media.clock_hz, media.control) == ("hevc", 97, 90_000, "track2")
    assert media.parameter_sets == b"\0\0\0\1\x40\1\0\0\0\1\x42\1\0\0\0\1\x44\1"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no video track"),
        ("m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n", "no video track"),
        (SDP.replace("H265", "JPEG"), "JPEG"),
    ],
)
def test_sdp_without_a_video_that_we_know(text: str, found: str) -> None:
    with pytest.raises(ConfigError, match=f"found {found}, expected a camera that sends H.264 or H.265"):
        parse_sdp(text, "camera")


@given(st.text("m=vidoa1 :/\r\nrtpmacnlspe0H264", max_size=80))
def test_any_sdp_is_survived(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_sdp("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n" + text, "camera")


def test_credentials() -> None:
    """The digest is the example of RFC 2069, 2.4, as corrected by its errata."""
    challenge = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc"'
    answer = authorization(challenge, "Mufasa", "CircleOfLife", "GET", "/dir/index.html")
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in answer
    assert 'opaque="5ccc"' in answer
    assert "qop=auth, nc=00000001" in authorization(challenge + ', qop="auth"', "u", "p", "GET", "/")
    assert authorization('Basic realm="x"', "user", "secret", "GET", "/") == "Basic dXNlcjpzZWNyZXQ="


def test_passwords_stay_out_of_messages() -> None:
    assert without_password("rtsp://host:554/a") == "rtsp://host:554/a"
    assert without_password("rtsp://user:p@ss@host:554/a") == "rtsp://host:554/a"
    assert without_password("rtsp://user:p/w@host:554/a") == "rtsp://host:554/a"


@pytest.mark.parametrize(
    "url", ["rtsp://user:geheim/w@host", "rtsp://user:geheim@host:port/", "rtsp://geheim@/", "rtsp://"]
)
def test_urls_that_make_no_sense(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^rtsp://.*: url: found something else, expected rtsp://user") as caught:
        RtspSession(url, 1.0, 1.0)
    assert "geheim" not in str(caught.value)
