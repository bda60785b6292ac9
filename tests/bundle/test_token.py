"""Keys in a token, with SoftHSM as the token. Skipped where it is not installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from inframe.bundle import open_bundle
from inframe.bundle.keys import Scheme
from inframe.bundle.making import put, sign
from inframe.bundle.pkcs11 import TokenKey, token_signer
from inframe.bundle.policy import UNSIGNED, Policy, Trusted
from inframe.core.errors import ConfigError, DeviceFault
from tests.bundle import made

LABEL = "release"
LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
needs_softhsm = pytest.mark.skipif(
    not (LIBRARY.exists() and shutil.which("softhsm2-util")), reason="SoftHSM (package softhsm2) is not installed"
)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A token with three keys. Its library reads its configuration once in a process, so it is one for all tests."""
    pkcs11 = pytest.importorskip("pkcs11")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        init = ["softhsm2-util", "--init-token", "--free", "--label", "release", "--pin", "1234", "--so-pin", "5678"]
        subprocess.run(init, check=True, capture_output=True)
        with pkcs11.lib(str(LIBRARY)).get_token(token_label=LABEL).open(user_pin="1234", rw=True) as session:
            _make(session, pkcs11)
    (folder / "pin").write_text("1234\n")
    return f"pkcs11:token=release;object=OBJECT?module-path={LIBRARY}&pin-source={folder / 'pin'}"


def _make(session, pkcs11) -> None:  # type: ignore[no-untyped-def]  # a library that tests may lack
    from pkcs11.util.ec import encode_named_curve_parameters

    for label, curve in (("p256", "secp256r1"), ("p384", "secp384r1")):
        parameters = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}
        domain = session.create_domain_parameters(pkcs11.KeyType.EC, parameters, local=True)
        domain.generate_keypair(store=True, label=label)
    edwards = {pkcs11.Attribute.EC_PARAMS: b"\x13\x0cedwards25519"}  # PrintableString, as SoftHSM wants it
    domain = session.create_domain_parameters(pkcs11.KeyType.EC_EDWARDS, edwards, local=True)
    domain.generate_keypair(mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label="ed")


@needs_softhsm
@pytest.mark.parametrize(("label", "scheme"), [("p256", "ecdsa-p256"), ("p384", "ecdsa-p384"), ("ed", "ed25519")])
def test_a_key_in_a_token_signs(tmp_path: Path, uri: str, label: str, scheme: Scheme) -> None:
    signer = token_signer(uri.replace("OBJECT", label), None)
    assert signer.key.scheme == scheme
    path = made.write(tmp_path)
    with open_bundle(path, UNSIGNED) as bundle:
        members = [bundle.member(name) for name, _ in bundle.header.members]
        put(path, [sign(bundle, signer), *members], replacing=True)
    with open_bundle(path, Policy((Trusted("hsm", "release", signer.key),), {"release": 1})) as bundle:
        assert bundle.signed_by == ("hsm",)


@needs_softhsm
def test_what_is_not_there_is_one_line(uri: str) -> None:
    with pytest.raises(DeviceFault, match="object nope: NoSuchKey"):
        token_signer(uri.replace("OBJECT", "nope"), None)
    with pytest.raises(DeviceFault, match="token other, object p256: NoSuchToken"):
        token_signer(uri.replace("OBJECT", "p256").replace("release", "other"), None)
    with pytest.raises(DeviceFault, match="PinIncorrect"):
        token_signer(uri.replace("OBJECT", "p256"), b"0000")


@pytest.mark.parametrize(
    "uri",
    ["", "key", "pkcs11:", "pkcs11:token=a", "pkcs11:token=a;object=b", "pkcs11:token=a;token=b;object=c?module-path=x",
     "pkcs11:token=a;object=b;colour=red?module-path=x"],
)  # fmt: skip
def test_a_uri_that_is_none_is_one_line(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"^--pkcs11: .* expected pkcs11:token="):
        TokenKey.of(uri)
