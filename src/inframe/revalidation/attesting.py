"""Statements about a bundle, signed with the keys that sign bundles: in-toto statements in DSSE envelopes, as JSON, one a file.

revalidation lock   what was fixed before anybody looked        predicate inframe/revalidation-lock/v1
test result         what came of it                             predicate in-toto.io/attestation/test-result/v0.1
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inframe.bundle.base64text import from_base64, to_base64
from inframe.bundle.container import canonical
from inframe.bundle.envelope import PAYLOAD_TYPE, Envelope, Signature, signers
from inframe.bundle.keys import Signer
from inframe.bundle.policy import Policy
from inframe.bundle.statement import STATEMENT
from inframe.core.errors import BundleError

LOCK = "https://inframe/revalidation-lock/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
MAX_BYTES = 4 << 20


def sealed(kind: str, subject: Mapping[str, str], predicate: Mapping[str, Any], keys: Sequence[Signer]) -> bytes:
    """A signed statement. `subject`: name -> SHA-256 (hex) of what it is about."""
    named = [{"name": name, "digest": {"sha256": digest}} for name, digest in subject.items()]
    payload = canonical({"_type": STATEMENT, "subject": named, "predicateType": kind, "predicate": predicate})
    envelope = Envelope(payload, PAYLOAD_TYPE, ())
    signatures = [{"keyid": key.key.id, "sig": to_base64(key.sign(envelope.message))} for key in keys]
    written = {"payload": to_base64(payload), "payloadType": PAYLOAD_TYPE, "signatures": signatures}
    return json.dumps(written, indent=1).encode() + b"\n"


def opened(path: Path, kind: str, policy: Policy) -> tuple[dict[str, str], dict[str, Any], bytes]:
    """The subject, the predicate, and the payload as it was signed. Raises BundleError for a statement of another kind, or one
    that lacks a signature which the policy asks for."""
    envelope = _envelope(path)
    if not policy.keys:
        raise BundleError(path, "--policy", "none", "a policy: a statement is worth what its signatures are")
    signers(str(path), envelope, policy)
    try:
        found = json.loads(envelope.payload)
        subject = {one["name"]: one["digest"]["sha256"] for one in found["subject"]}
        kinds = found["_type"], found["predicateType"]
        predicate = dict(found["predicate"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleError(path, "payload", "something else", "an in-toto statement") from None
    if kinds != (STATEMENT, kind):
        raise BundleError(path, "predicateType", kinds[1], kind)
    return subject, predicate, envelope.payload


def _envelope(path: Path) -> Envelope:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(MAX_BYTES))
        payload = from_base64(found["payload"])
        pairs = [(str(one["keyid"]), from_base64(one["sig"])) for one in found["signatures"]]
        kind = str(found["payloadType"])
    except OSError as error:
        raise BundleError(path, "file", error.strerror or error, "a readable file") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleError(path, "file", "something else", "a DSSE envelope in JSON") from None
    if payload is None or not all(raw for _, raw in pairs):
        raise BundleError(path, "payload", "something else", "base64 in its one canonical form")
    return Envelope(payload, kind, tuple(Signature(key, raw or b"") for key, raw in pairs))
