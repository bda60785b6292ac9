"""A downgrade's authorisation: a small signed file that names the devices, the bundles, the floor at which it holds, and why.

Its keys are named in the root metadata (`x-inframe-downgrade`) and sign nothing else, so neither who publishes releases nor who
runs the repository can take a device back to an older model.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from securesystemslib.exceptions import FormatError
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Key, Signature
from securesystemslib.signer import Signer as KeyHolder
from tuf.api.metadata import Metadata, Root

from inframe.update.releases import BundleName, Digest
from inframe.update.sealed import refused
from inframe.update.states import Excuse

KEYS = "x-inframe-downgrade"
MAX_BYTES = 64 << 10


class Authorisation(BaseModel):
    """What is signed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    format: Literal["inframe downgrade 1"] = "inframe downgrade 1"
    number: Annotated[str, Field(min_length=1, max_length=64)]
    """Of the file on the manufacturer's side; it goes into the trail."""
    reason: Annotated[str, Field(min_length=1, max_length=400)]
    devices: list[str] = Field(min_length=1)
    bundles: dict[BundleName, Digest] = Field(min_length=1)
    floor: dict[BundleName, int]
    """The counters that the device has committed: once it has newer ones, this speaks for nothing."""
    expires: str
    """RFC 3339, UTC, to the second."""


def payload(authorisation: Authorisation) -> bytes:
    """What the signatures are over."""
    return canonical(authorisation.model_dump())


def canonical(content: dict[str, Any]) -> bytes:
    """Canonical JSON, as TUF signs it. Raises FormatError."""
    text = encode_canonical(content)
    if not isinstance(text, str):
        raise FormatError("nothing to encode")
    return text.encode()


def signed(authorisation: Authorisation, holders: list[KeyHolder]) -> bytes:
    """The file."""
    signatures = [holder.sign(payload(authorisation)) for holder in holders]
    listed = [{"keyid": one.keyid, "sig": one.signature} for one in signatures]
    return json.dumps({"signed": authorisation.model_dump(), "signatures": listed}, indent=2).encode() + b"\n"


def excuse_from(raw: bytes, where: str, root: str, device: str, now_s: int) -> Excuse:
    """Verify an authorisation for this device, now, by the keys that the root metadata names. Raises UpdateError."""
    authorisation, signatures = _parse(raw, where)
    keys, threshold = _keys(root)
    good = {
        keyid for keyid, signature in signatures.items() if _holds(keys.get(keyid), signature, payload(authorisation))
    }
    if len(good) < threshold:
        raise refused(
            where, "signatures", f"{len(good)} good ones", f"{threshold}, by keys for downgrades in the root metadata"
        )
    if device not in authorisation.devices:
        raise refused(where, "devices", ", ".join(authorisation.devices), device)
    try:
        expires = datetime.strptime(authorisation.expires, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise refused(where, "expires", authorisation.expires, "YYYY-MM-DDThh:mm:ssZ") from None
    if now_s >= expires.timestamp():
        raise refused(where, "expires", authorisation.expires, "a time to come")
    why = f"authorisation {authorisation.number}: {authorisation.reason}"
    return Excuse(why, tuple(authorisation.bundles.values()), dict(authorisation.floor))


def _parse(raw: bytes, where: str) -> tuple[Authorisation, dict[str, str]]:
    if len(raw) > MAX_BYTES:
        raise refused(where, "size", len(raw), f"at most {MAX_BYTES} bytes")
    try:
        content = json.loads(raw)
        signatures = {str(one["keyid"]): str(one["sig"]) for one in content["signatures"]}
        return Authorisation.model_validate(content["signed"]), signatures
    except ValidationError as error:
        first = error.errors()[0]
        raise refused(where, ".".join(map(str, first["loc"])), first["input"], first["msg"]) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise refused(where, "content", f"{type(error).__name__}: {error}", "an authorisation of a downgrade") from None


def _keys(root: str) -> tuple[dict[str, Key], int]:
    said: Any = Metadata[Root].from_bytes(root.encode()).signed.unrecognized_fields.get(KEYS)
    try:
        keys = {keyid: Key.from_dict(keyid, dict(one)) for keyid, one in said["keys"].items()}
        threshold = said["threshold"]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise refused(
            "root metadata", KEYS, said, "keys and a threshold; without them nothing is ever downgraded"
        ) from None
    if type(threshold) is not int or not 0 < threshold <= len(keys):
        raise refused("root metadata", f"{KEYS}.threshold", threshold, f"1 to {len(keys)}")
    return keys, threshold


def _holds(key: Key | None, signature: str, data: bytes) -> bool:
    if key is None:
        return False
    try:
        key.verify_signature(Signature(key.keyid, signature), data)
    except Exception:  # noqa: BLE001  # securesystemslib raises what its libraries raise; none of it is a good signature
        return False
    return True
