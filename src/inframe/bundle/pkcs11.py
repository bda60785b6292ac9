"""Keys in a token (PKCS #11): the private key never leaves it. Needs the extra `pkcs11` and the token's own library.

A key is named by a URI as in RFC 7512: pkcs11:token=LABEL;object=LABEL?module-path=/…/lib.so&pin-source=/…/file
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from inframe.bundle.keys import PublicKey, public_key
from inframe.core.errors import ConfigError, DeviceFault, one_line

_KNOWN = {"token", "object", "id", "serial", "module-path", "pin-source"}
_EXPECTED = "pkcs11:token=…;object=…?module-path=…, as in RFC 7512"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """Where a key is."""

    module: str
    token: str
    object: str
    pin_source: str | None

    @staticmethod
    def of(uri: str) -> "TokenKey":
        """From a URI. Raises ConfigError."""
        scheme, _, rest = uri.partition(":")
        parts = [part for part in re.split("[;?&]", rest) if part]
        pairs = [(key, unquote(value)) for key, _, value in (part.partition("=") for part in parts)]
        found = dict(pairs)
        unknown = sorted(set(found) - _KNOWN)
        if scheme != "pkcs11" or unknown or len(found) != len(pairs):
            raise ConfigError("--pkcs11", unknown[0] if unknown else "URI", uri, _EXPECTED)
        for key in ("module-path", "token", "object"):
            if not found.get(key):
                raise ConfigError("--pkcs11", key, "nothing", _EXPECTED)
        return TokenKey(found["module-path"], found["token"], found["object"], found.get("pin-source"))


class TokenSigner:
    """Signs in the token: ECDSA P-256 or P-384, Ed25519."""

    def __init__(self, where: TokenKey, pin: str | None) -> None:
        """Opens the token once, to read the public key. Raises ConfigError, DeviceFault."""
        self._where, self._pin = where, pin
        session = self._session()
        try:
            self.key = _public(session, where)
        finally:
            session.close()

    def sign(self, message: bytes) -> bytes:
        """See Signer."""
        import pkcs11
        from pkcs11.util.ec import encode_ecdsa_signature

        session = self._session()
        try:
            private = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=self._where.object)
            if self.key.scheme == "ed25519":
                return bytes(private.sign(message, mechanism=pkcs11.Mechanism.EDDSA))
            raw = private.sign(_hashed(self.key, message), mechanism=pkcs11.Mechanism.ECDSA)
            return bytes(encode_ecdsa_signature(bytes(raw)))
        except pkcs11.PKCS11Error as error:
            raise _fault(self._where, error) from None
        finally:
            session.close()

    def _session(self) -> Any:
        try:
            import pkcs11
        except ImportError as error:
            raise ConfigError(
                "--pkcs11", "package", error, "the package python-pkcs11 (pip install inframe[pkcs11])"
            ) from None
        try:
            return pkcs11.lib(self._where.module).get_token(token_label=self._where.token).open(user_pin=self._pin)
        except pkcs11.PKCS11Error as error:
            raise _fault(self._where, error) from None
        except (RuntimeError, OSError) as error:  # the library is not one
            raise ConfigError("--pkcs11", "module-path", error, "the token's PKCS #11 library") from None


def token_signer(uri: str, pin: bytes | None) -> TokenSigner:
    """The key that the URI names; the PIN from its `pin-source`, where none is given. Raises ConfigError, DeviceFault."""
    where = TokenKey.of(uri)
    if pin is None and where.pin_source is not None:
        try:
            pin = Path(where.pin_source.removeprefix("file:")).read_bytes().strip()
        except OSError as error:
            raise ConfigError("--pkcs11", "pin-source", error.strerror or error, "a readable file") from None
    return TokenSigner(where, pin.decode() if pin is not None else None)


def _public(session: Any, where: TokenKey) -> PublicKey:
    import pkcs11
    from pkcs11.util.ec import encode_ec_public_key

    try:
        key = session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, label=where.object)
        if key.key_type is pkcs11.KeyType.EC:
            return public_key(encode_ec_public_key(key))
        if key.key_type is pkcs11.KeyType.EC_EDWARDS:
            return _edwards(bytes(key[pkcs11.Attribute.EC_POINT]))
        kind = key.key_type.name
    except pkcs11.PKCS11Error as error:
        raise _fault(where, error) from None
    except ValueError as error:
        kind = str(error)
    raise ConfigError("--pkcs11", f"object {where.object}", kind, "a key of ECDSA P-256 or P-384, or Ed25519")


def _edwards(point: bytes) -> PublicKey:
    """From CKA_EC_POINT, which is the key as an OCTET STRING (PKCS #11 3.0)."""
    if len(point) != 34 or point[:2] != b"\x04\x20":
        raise ValueError(f"an EC point of {len(point)} bytes")
    return public_key(bytes.fromhex("302a300506032b6570032100") + point[2:])  # RFC 8410: SubjectPublicKeyInfo


def _hashed(key: PublicKey, message: bytes) -> bytes:
    return hashlib.new("sha384" if key.scheme == "ecdsa-p384" else "sha256", message).digest()


def _fault(where: TokenKey, error: Exception) -> DeviceFault:
    what = one_line(error) or type(error).__name__
    return DeviceFault(f"token {where.token}, object {where.object}: {type(error).__name__} {what}".strip())
