"""What `inframe bundle` does with a bundle that is open: say what it is, unpack it, hand it to other tools. Prints nothing."""

from pathlib import Path
from typing import Any

from inframe.bundle import Bundle, Policy, openssf
from inframe.core.errors import ConfigError


def facts(bundle: Bundle, policy: Policy) -> dict[str, Any]:
    """A bundle, for programs. A signature's name is None where the policy has no such key: then nobody has checked it."""
    names = {trusted.key.id: (trusted.name, trusted.role) for trusted in policy.keys}
    ids = [signature.key_id for signature in bundle.header.envelope.signatures]
    return {
        "bundle": bundle.manifest.bundle,
        "version": bundle.manifest.version,
        "counter": bundle.counter,
        "sha256": bundle.digest,
        "signed_by": list(bundle.signed_by),
        "signatures": [
            {"key": key, "name": names.get(key, (None, None))[0], "role": names.get(key, (None, None))[1]}
            for key in ids
        ],
        "members": [
            {"name": name, "bytes": size, "sha256": bundle.digests[name]} for name, size in bundle.header.members
        ],
        "manifest": bundle.manifest.model_dump(mode="json"),
    }


def unpack(bundle: Bundle, folder: Path) -> None:
    """Write the members into a new folder. Raises ConfigError."""
    try:
        folder.mkdir(parents=True)
        for name, _ in bundle.header.members:  # the reader let no name through that leads out of the folder
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bundle.member(name))
    except OSError as error:
        raise ConfigError(folder, "--unpack", error.strerror or error, "a new folder") from None


def openssf_signature(bundle: Bundle, policy: Policy) -> bytes:
    """The first ECDSA signature of one of the policy's keys, as OpenSSF's tools read it beside the unpacked members. Raises
    ConfigError."""
    signed = {signature.key_id for signature in bundle.header.envelope.signatures}
    for trusted in policy.keys:
        if trusted.key.id in signed and trusted.key.scheme.startswith("ecdsa"):
            return openssf.write(bundle.header.envelope, trusted.key)
    expected = "one by an ECDSA key of the policy (--policy): OpenSSF's tools take no other"
    raise ConfigError("inframe bundle show", "--signature", "no such signature", expected)
