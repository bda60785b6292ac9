"""OpenSSF model signing's `model.sig`: a Sigstore bundle around the same DSSE envelope (github.com/ossf/model-signing-spec).

Only signatures by key, and of one key: what needs a certificate or a transparency log needs a network and a clock to be believed.
"""

import hashlib
import json
from pathlib import Path

from inframe.bundle.base64text import from_base64, to_base64
from inframe.bundle.envelope import Envelope, Signature
from inframe.bundle.keys import PublicKey
from inframe.core.errors import BundleError

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MAX_BYTES = 1 << 22


def write(envelope: Envelope, key: PublicKey) -> bytes:
    """The signature of `key`, an ECDSA one (OpenSSF's tools take no other), as its file. Raises ValueError where there is none."""
    raw = [one.raw for one in envelope.signatures if one.key_id == key.id]
    if not raw or not key.scheme.startswith("ecdsa"):
        raise ValueError(f"{'no signature of it' if not raw else key.scheme}")
    signed = {
        "payload": to_base64(envelope.payload),
        "payloadType": envelope.payload_type,
        "signatures": [{"sig": to_base64(raw[0]), "keyid": ""}],
    }
    hint = hashlib.sha256(key.pem.encode()).hexdigest()
    material = {"publicKey": {"hint": hint}, "tlogEntries": []}
    return json.dumps({"mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": signed}).encode()


def read(path: Path) -> Envelope:
    """The envelope in such a file, not verified. Raises BundleError."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(MAX_BYTES))
        envelope = found["dsseEnvelope"]
        payload, kind = from_base64(envelope["payload"]), str(envelope["payloadType"])
        raws = [from_base64(one["sig"]) for one in envelope["signatures"]]
        media = found["mediaType"]
    except OSError as error:
        raise BundleError(path, "file", error.strerror or error, "a readable signature file") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleError(path, "file", "something else", "a Sigstore bundle with a dsseEnvelope") from None
    signatures = tuple(Signature("", raw) for raw in raws if raw is not None)
    if media != MEDIA_TYPE or payload is None or len(signatures) != 1 or len(raws) != 1:
        raise BundleError(path, "mediaType", media, f"{MEDIA_TYPE} with one signature")
    return Envelope(payload, kind, signatures)
