"""Base64 in its one canonical encoding."""

import base64
import binascii


def to_base64(raw: bytes) -> str:
    """The canonical encoding."""
    return base64.b64encode(raw).decode()


def from_base64(text: object) -> bytes | None:
    """The bytes, or None unless `text` is their one canonical encoding: else a byte could change unnoticed."""
    if not isinstance(text, str):
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if to_base64(raw) == text else None
