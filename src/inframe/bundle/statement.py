"""What is signed: an in-toto statement (v1) with OpenSSF model signing's predicate (v1.0), over every member. No I/O.

The same signature therefore verifies with OpenSSF's tools on the unpacked members, and theirs here
(github.com/ossf/model-signing-spec).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from inframe.bundle.container import canonical, check_names
from inframe.core.errors import BundleError

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
_SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []}
_DIGEST = re.compile(r"[0-9a-f]{64}")


def make(name: str, digests: Mapping[str, str]) -> bytes:
    """The payload for a bundle of that name, whose members have these SHA-256 digests (hex)."""
    resources = [{"name": key, "algorithm": "sha256", "digest": digests[key]} for key in sorted(digests)]
    predicate = {"serialization": _SERIALIZATION, "resources": resources}
    subject = {"name": name, "digest": {"sha256": root(digests)}}
    return canonical({"_type": STATEMENT, "subject": [subject], "predicateType": PREDICATE, "predicate": predicate})


def root(digests: Mapping[str, str]) -> str:
    """SHA-256 over the members' digests in alphabetical order of their names: the statement's subject."""
    return hashlib.sha256(b"".join(bytes.fromhex(digests[name]) for name in sorted(digests))).hexdigest()


def digests_in(where: str, payload: bytes) -> dict[str, str]:
    """The digest of each member by name, in order, from a payload whose signatures were verified. Raises BundleError.

    What OpenSSF's specification lets be added is passed over, as it asks; what the digests depend on is not.
    """
    try:
        found = json.loads(payload, object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError):
        raise BundleError(where, "statement", "no JSON", "an in-toto statement in JSON, each key once") from None
    kind = (found.get("_type"), found.get("predicateType")) if isinstance(found, dict) else None
    if kind != (STATEMENT, PREDICATE):
        raise BundleError(where, "statement", kind, f"{STATEMENT} with {PREDICATE}")
    try:
        predicate = found["predicate"]
        how = predicate["serialization"]["method"], predicate["serialization"]["hash_type"]
        (subject,) = found["subject"]
        expected = subject["digest"]["sha256"]
        pairs = [(one["name"], one["algorithm"], one["digest"]) for one in predicate["resources"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BundleError(
            where, "statement", "a part that is missing", "one subject, serialization, resources"
        ) from None
    if how != ("files", "sha256") or any(algorithm != "sha256" for _, algorithm, _ in pairs):
        raise BundleError(where, "statement.predicate", how, "files by sha256")
    for name, _, digest in pairs:
        if not (isinstance(name, str) and isinstance(digest, str) and _DIGEST.fullmatch(digest)):
            raise BundleError(where, f"statement.{name}", digest, "a name and a SHA-256 in hex")
    check_names(where, [name for name, _, _ in pairs])
    digests = {name: digest for name, _, digest in pairs}
    if root(digests) != expected:
        raise BundleError(where, "statement.subject", expected, f"{root(digests)}, the digest over all resources")
    return digests


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found
