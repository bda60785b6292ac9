"""A key in a TPM signs a bundle: on a TPM in software, with the commands of docs/bundle.md."""

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inframe.bundle import open_bundle
from inframe.bundle.keys import read_public_key
from inframe.bundle.policy import Policy, Trusted
from inframe.bundle.tpm import tpm_signer
from inframe.cli import app
from inframe.core.errors import ConfigError, DeviceFault
from scripts.docs import ROOT
from tests.bundle import made
from tests.docs.pages import blocks
from tests.drivers.tpm import Tpm, tpm

__all__ = ["tpm"]
HANDLE = "0x81010001"


def test_a_key_in_a_tpm_signs(tmp_path: Path, tpm: Tpm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in "".join(blocks(ROOT / "docs" / "bundle.md", "sh")).splitlines():
        if line.startswith("tpm2_"):
            tpm.tool(*shlex.split(line))
            tpm.tool("tpm2_flushcontext", "-t")  # what /dev/tpmrm0 does by itself
    file = made.write(tmp_path)
    words = ["bundle", "sign", str(file), "--tpm", HANDLE, "--tcti", tpm.config.tcti]
    assert "signed by ecdsa-p256" in CliRunner().invoke(app, words).output
    policy = Policy((Trusted("anna", "research", read_public_key(tmp_path / "anna.pub")),), {"research": 1})
    with open_bundle(file, policy) as bundle:
        assert bundle.signed_by == ("anna",)


def test_what_is_wrong_is_one_line(tmp_path: Path, tpm: Tpm, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--tpm: found 0x01, expected a persistent handle"):
        tpm_signer("0x01")
    with pytest.raises(DeviceFault, match="tpm2_readpublic: ") as caught:
        tpm_signer(HANDLE, tpm.config.tcti)
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceFault, match="tpm2_readpublic: no such program; expected the package tpm2-tools"):
        tpm_signer(HANDLE)
