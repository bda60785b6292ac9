"""A key in a TPM, by way of the distribution's `tpm2-tools`: the private key never leaves it. ECDSA P-256 or P-384.

It is named by its persistent handle, and was made beforehand (docs/bundle.md). The TPM signs a digest, which is made here.
"""

import hashlib
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from inframe.bundle.keys import PublicKey, read_public_key
from inframe.core.errors import ConfigError, DeviceFault, one_line

TIMEOUT_S = 30.0
TCTI = "device:/dev/tpmrm0"
_HASHES = {"ecdsa-p256": "sha256", "ecdsa-p384": "sha384"}
_HANDLE = re.compile(r"0x81[0-9a-fA-F]{6}")


@dataclass(slots=True)
class TpmSigner:
    """Signs in the TPM. Made by `tpm_signer`."""

    handle: str
    tcti: str
    auth: str | None
    key: PublicKey

    def sign(self, message: bytes) -> bytes:
        """See Signer. Raises DeviceFault."""
        kind = _HASHES[self.key.scheme]
        with tempfile.TemporaryDirectory(prefix="inframe-") as name:
            digest, out = Path(name) / "digest", Path(name) / "signature"
            digest.write_bytes(hashlib.new(kind, message).digest())
            auth = [f"--auth=file:{self.auth}"] if self.auth is not None else []
            options = [f"--key-context={self.handle}", f"--hash-algorithm={kind}", "--digest", "--format=plain", *auth]
            _call(self.tcti, "tpm2_sign", *options, f"--signature={out}", str(digest))
            return out.read_bytes()


def tpm_signer(handle: str, tcti: str = TCTI, auth: Path | None = None) -> TpmSigner:
    """The key at that persistent handle; `auth`: a file with its authorisation. Raises ConfigError, DeviceFault."""
    if not _HANDLE.fullmatch(handle):
        raise ConfigError("inframe bundle sign", "--tpm", handle, "a persistent handle, 0x81……")
    with tempfile.TemporaryDirectory(prefix="inframe-") as name:
        public = Path(name) / "public.pem"
        _call(tcti, "tpm2_readpublic", f"--object-context={handle}", "--format=pem", f"--output={public}")
        key = read_public_key(public, "--tpm")
    if key.scheme not in _HASHES:
        raise ConfigError("inframe bundle sign", "--tpm", key.scheme, " or ".join(_HASHES))
    return TpmSigner(handle, tcti, str(auth.absolute()) if auth is not None else None, key)


def _call(tcti: str, tool: str, *options: str) -> None:
    command = [tool, f"--tcti={tcti}", *options]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False)
    except FileNotFoundError:
        raise DeviceFault(f"{tool}: no such program; expected the package tpm2-tools") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceFault(f"{tool}: {one_line(error)}") from error
    if done.returncode:
        mark, said = "ERROR: ", done.stderr.decode(errors="replace").splitlines()
        reason = next((line.removeprefix(mark) for line in said if line.startswith(mark)), "failed")
        raise DeviceFault(f"{tool}: {one_line(reason)}")
