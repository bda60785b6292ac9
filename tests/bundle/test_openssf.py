"""OpenSSF's own tool verifies what we sign, and what it signs verifies here: the real package, both ways."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inframe.bundle import UNSIGNED, BundleError, open_bundle
from inframe.bundle.keys import write_keys
from inframe.bundle.making import attach
from inframe.bundle.openssf import read
from inframe.cli import app
from inframe.core.errors import ConfigError
from tests.bundle import made

EC = made.signer("ec", "ecdsa-p256")
POLICY = "keys: [{name: ec, role: research, file: ec.pub}]\nthresholds: {research: 1}\n"


def tool(*words: object) -> "subprocess.CompletedProcess[str]":
    """`model_signing`, in a process of its own: it imports half of Sigstore."""
    command = [sys.executable, "-W", "ignore", "-m", "model_signing", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)


def run(*words: object) -> str:
    done = CliRunner().invoke(app, ["bundle", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_keys(EC, tmp_path / "ec")
    (tmp_path / "policy.yaml").write_text(POLICY)
    return made.write(tmp_path / "made", made.signer("otto", "ml-dsa-44"), EC)


@pytest.mark.timeout(400)
def test_their_tool_verifies_our_signature_and_notices_a_change(tmp_path: Path, bundle: Path) -> None:
    folder, signature = tmp_path / "anatomy", tmp_path / "model.sig"
    run("show", bundle, "--policy", tmp_path / "policy.yaml", "--unpack", folder, "--signature", signature)
    words = ("verify", "key", folder, "--signature", signature, "--public_key", tmp_path / "ec.pub")
    done = tool(*words)
    assert done.returncode == 0, done.stderr
    assert "succeeded" in done.stdout
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes() + b"\0")
    assert tool(*words).returncode != 0


@pytest.mark.timeout(400)
def test_their_signature_verifies_here(tmp_path: Path, bundle: Path) -> None:
    unsigned, folder, signature = made.write(tmp_path / "other"), tmp_path / "anatomy", tmp_path / "model.sig"
    run("show", unsigned, "--unpack", folder)
    done = tool("sign", "key", folder, "--signature", signature, "--private_key", tmp_path / "ec")
    assert done.returncode == 0, done.stderr
    run("sign", unsigned, "--attach", signature, "--public", tmp_path / "ec.pub")
    run("verify", unsigned, "--policy", tmp_path / "policy.yaml")
    with open_bundle(unsigned, made.policy(ec=("research", EC))) as found:
        assert found.signed_by == ("ec",)
    # and a second signature, of ours, over their statement
    write_keys(made.signer("anna"), tmp_path / "anna")
    run("sign", unsigned, "--key", tmp_path / "anna")
    policy = made.policy(ec=("research", EC), anna=("quality", made.signer("anna")))
    with open_bundle(unsigned, policy) as found:
        assert set(found.signed_by) == {"ec", "anna"}


def test_a_signature_of_another_key_or_of_other_members_is_not_attached(tmp_path: Path, bundle: Path) -> None:
    signature = tmp_path / "model.sig"
    run("show", bundle, "--policy", tmp_path / "policy.yaml", "--signature", signature)
    other = made.write(tmp_path / "other", version="2.0.0")
    with open_bundle(bundle, UNSIGNED) as same, open_bundle(other, UNSIGNED) as different:
        assert attach("model.sig", same, read(signature), EC.key) is not None
        with pytest.raises(BundleError, match="no signature of the key"):
            attach("model.sig", same, read(signature), made.signer("eve", "ecdsa-p256").key)
        with pytest.raises(BundleError, match="found other members"):
            attach("model.sig", different, read(signature), EC.key)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"mediaType": "x", "dsseEnvelope": {"payload": "", "payloadType": "", "signatures": []}}']
)
def test_what_is_no_signature_file_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.sig").write_text(text)
    with pytest.raises(BundleError, match=r"model\.sig: "):
        read(tmp_path / "model.sig")


def test_without_an_ecdsa_signature_there_is_nothing_for_them(tmp_path: Path) -> None:
    path = made.signed(tmp_path)
    with pytest.raises(ConfigError, match="expected one by an ECDSA key of the policy"):
        CliRunner().invoke(
            app, ["bundle", "show", str(path), "--signature", str(tmp_path / "s")], catch_exceptions=False
        )
