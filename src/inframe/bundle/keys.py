"""Public keys that sign bundles, and those who hold the private ones: Ed25519, ECDSA (P-256, P-384), ML-DSA (FIPS 204).

Other kinds are refused, RSA among them: a bundle is a new format, and each scheme more is one more to get wrong.
"""

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa

from inframe.core.errors import ConfigError, DeviceFault

Scheme = Literal["ed25519", "ecdsa-p256", "ecdsa-p384", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]
EXPECTED = "a key of Ed25519, ECDSA P-256 or P-384, or ML-DSA"
MAX_KEY_FILE = 1 << 16
_CURVES: dict[str, tuple[Scheme, hashes.HashAlgorithm]] = {
    "secp256r1": ("ecdsa-p256", hashes.SHA256()),
    "secp384r1": ("ecdsa-p384", hashes.SHA384()),
}
Public = (
    ed25519.Ed25519PublicKey
    | ec.EllipticCurvePublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey
)
Private = (
    ed25519.Ed25519PrivateKey
    | ec.EllipticCurvePrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)


@dataclass(frozen=True)
class PublicKey:
    """A key as X.509 has it (SubjectPublicKeyInfo, DER). Made by `public_key`."""

    der: bytes

    @cached_property
    def id(self) -> str:
        """SHA-256 of it, hex: its id in an envelope."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def scheme(self) -> Scheme:
        """What kind of key it is."""
        return _scheme(self._loaded)

    @cached_property
    def _loaded(self) -> Public:
        key = serialization.load_der_public_key(self.der)
        if isinstance(key, Public) and not (
            isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in _CURVES
        ):
            return key
        raise ValueError(f"a key of another kind ({type(key).__name__})")

    def accepts(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's over the message."""
        key = self._loaded
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, message, ec.ECDSA(_CURVES[key.curve.name][1]))
            else:
                key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    @property
    def pem(self) -> str:
        """The text of a PEM file."""
        return self._loaded.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode()


def public_key(der: bytes) -> PublicKey:
    """The key, or ValueError for what is none of the schemes known here, or not its one encoding."""
    key = PublicKey(der)
    try:
        loaded = key._loaded  # the class is made here
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None
    if loaded.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo) != der:
        raise ValueError("another encoding of it")
    return key


def read_public_key(path: Path, field: str = "key") -> PublicKey:
    """From a PEM file. Raises ConfigError."""
    try:
        key = serialization.load_pem_public_key(_read(path, field))
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(path, field, error, f"{EXPECTED}, in a PEM file (PUBLIC KEY)") from None


def _scheme(key: Public | Private) -> Scheme:
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return _CURVES[key.curve.name][0]
    if isinstance(key, ed25519.Ed25519PublicKey | ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, mldsa.MLDSA44PublicKey | mldsa.MLDSA44PrivateKey):
        return "ml-dsa-44"
    return "ml-dsa-65" if isinstance(key, mldsa.MLDSA65PublicKey | mldsa.MLDSA65PrivateKey) else "ml-dsa-87"


# --- private keys ----------------------------------------------------------------------------------------------------


class Signer(Protocol):
    """Who can sign: a key in a file, in a token, in a TPM."""

    key: PublicKey

    def sign(self, message: bytes) -> bytes:
        """The signature; for ECDSA in DER. Raises ConfigError or DeviceFault where the key can't be used."""
        ...


class FileSigner:
    """A private key that this process has read: for development, and for machines that are locked away."""

    def __init__(self, private: Private) -> None:
        self._private = private
        self.key = public_key(
            private.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def sign(self, message: bytes) -> bytes:
        """See Signer."""
        if isinstance(self._private, ec.EllipticCurvePrivateKey):
            return self._private.sign(message, ec.ECDSA(_CURVES[self._private.curve.name][1]))
        return self._private.sign(message)


def read_signer(path: Path, password: bytes | None = None) -> FileSigner:
    """The private key in a PEM file (PKCS #8). Raises ConfigError, which does not repeat it."""
    try:
        private = serialization.load_pem_private_key(_read(path, "--key"), password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: a password that is missing or too much
        raise ConfigError(path, "--key", error, f"{EXPECTED}, in a PEM file (PRIVATE KEY)") from None
    if not isinstance(private, Private) or (
        isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name not in _CURVES
    ):
        raise ConfigError(path, "--key", f"a key of another kind ({type(private).__name__})", EXPECTED)
    return FileSigner(private)


def new_signer(scheme: Scheme) -> FileSigner:
    """A new key. Raises DeviceFault where this build of OpenSSL has no such scheme."""
    try:
        match scheme:
            case "ed25519":
                return FileSigner(ed25519.Ed25519PrivateKey.generate())
            case "ecdsa-p256":
                return FileSigner(ec.generate_private_key(ec.SECP256R1()))
            case "ecdsa-p384":
                return FileSigner(ec.generate_private_key(ec.SECP384R1()))
            case "ml-dsa-44":
                return FileSigner(mldsa.MLDSA44PrivateKey.generate())
            case "ml-dsa-65":
                return FileSigner(mldsa.MLDSA65PrivateKey.generate())
            case "ml-dsa-87":
                return FileSigner(mldsa.MLDSA87PrivateKey.generate())
    except UnsupportedAlgorithm as error:
        raise DeviceFault(f"no keys of {scheme} here: {error}") from None


def write_keys(signer: FileSigner, path: Path, password: bytes | None = None) -> Path:
    """Keep a new key: the private one in `path` (PKCS #8, only its owner may read it), the public one beside it in `path`.pub,
    whose path is returned. Never writes over a file. Raises ConfigError."""
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        how = serialization.BestAvailableEncryption(password)
    text = signer._private.private_bytes(  # of this module
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how
    )
    public = path.with_name(f"{path.name}.pub")
    try:
        for file, data, mode in ((path, text, 0o600), (public, signer.key.pem.encode(), 0o644)):
            fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(fd, "wb") as opened:
                opened.write(data)
    except OSError as error:
        raise ConfigError(
            path, "key", error.strerror or error, "a name that is free, in a folder that can be written"
        ) from None
    return public


def _read(path: Path, field: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise ConfigError(path, field, getattr(error, "strerror", None) or error, "a readable PEM file") from None
    if len(data) > MAX_KEY_FILE:
        raise ConfigError(path, field, "more than 64 KiB", "a PEM file")
    return data
