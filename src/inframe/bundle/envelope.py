"""DSSE (github.com/secure-systems-lab/dsse, v1): who signed a payload. No I/O."""

from dataclasses import dataclass

from inframe.bundle.keys import PublicKey
from inframe.bundle.policy import Policy
from inframe.core.errors import BundleError

PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature, not yet verified. `key_id`: SHA-256 of the key, hex; a hint only, as it is not signed."""

    key_id: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with its signatures."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]

    @property
    def message(self) -> bytes:
        """What is signed: DSSE's pre-authentication encoding, which binds the type to the payload."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(self.payload), self.payload)


def signers(where: str, envelope: Envelope, policy: Policy) -> tuple[str, ...]:
    """The names of the policy's keys that signed, every threshold being met. Raises BundleError, naming `where`.

    A signature of a key that the policy does not know is passed over, so that a bundle can be signed for the keys of today and
    of tomorrow; one that names a known key and is not its own is refused, whatever the others say.
    """
    if envelope.payload_type != PAYLOAD_TYPE:
        raise BundleError(where, "envelope.payloadType", repr(envelope.payload_type), PAYLOAD_TYPE)
    ids = [signature.key_id for signature in envelope.signatures]
    if len(set(ids)) != len(ids):
        raise BundleError(where, "envelope.signatures", "two of one key", "one of each")
    known = {trusted.key.id: trusted for trusted in policy.keys}
    found = []
    for signature in envelope.signatures:
        trusted = known.get(signature.key_id)
        if trusted is None:
            continue
        if not trusted.key.accepts(envelope.message, signature.raw):
            raise BundleError(
                where, "envelope.signatures", f"one of {trusted.name} that does not verify", "a valid one"
            )
        found.append(trusted)
    for role, threshold in policy.thresholds.items():
        of_role = [trusted.name for trusted in found if trusted.role == role]
        if len(of_role) < threshold:
            names = ", ".join(trusted.name for trusted in policy.keys if trusted.role == role)
            said = f"{len(of_role)} of role {role}" + (f" ({', '.join(of_role)})" if of_role else "")
            raise BundleError(where, "envelope.signatures", said, f"{threshold} of: {names}")
    return tuple(trusted.name for trusted in found)


def signed_by(envelope: Envelope, key: PublicKey) -> bool:
    """Whether one of the signatures is that key's, whatever id it bears."""
    return any(key.accepts(envelope.message, signature.raw) for signature in envelope.signatures)
