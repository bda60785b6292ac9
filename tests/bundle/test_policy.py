"""Whose signatures are enough, in every scheme."""

from pathlib import Path
from typing import get_args

import pytest
import yaml

from inframe.bundle import UNSIGNED, BundleError, Policy, open_bundle
from inframe.bundle.keys import FileSigner, Scheme, new_signer, read_public_key, read_signer, write_keys
from inframe.core.errors import ConfigError
from tests.bundle import made
from tests.bundle.attack import parts_of, refusal

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
ANNA, BERT, OTTO, EVE = (made.signer(name) for name in ("anna", "bert", "otto", "eve"))
TWO_AND_ONE = made.policy(
    {"research": 2, "quality": 1}, anna=("research", ANNA), bert=("research", BERT), otto=("quality", OTTO)
)


def opens(path: Path, policy: Policy) -> tuple[str, ...]:
    with open_bundle(path, policy) as bundle:
        return bundle.signed_by


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_signs_and_verifies(tmp_path: Path, scheme: Scheme) -> None:
    signer = made.signer("anna", scheme)
    assert signer.key.scheme == scheme
    path = made.write(tmp_path, signer)
    assert opens(path, made.policy(anna=("research", signer))) == ("anna",)
    with pytest.raises(BundleError, match=r"envelope.signatures: found 0 of role research, expected 1 of: anna$"):
        open_bundle(path, made.policy(anna=("research", made.signer("eve", scheme))))
    forged = parts_of(path.read_bytes())
    forged.envelope["signatures"][0]["keyid"] = ANNA.key.id
    assert "one of anna that does not verify" in str(refusal(forged.encoded(), made.policy(anna=("research", ANNA))))


@pytest.mark.parametrize(
    ("signers", "found"),
    [
        ((), "0 of role research, expected 2 of: anna, bert"),
        ((ANNA, OTTO), "1 of role research (anna), expected 2 of: anna, bert"),
        ((ANNA, BERT), "0 of role quality, expected 1 of: otto"),
        ((ANNA, EVE, OTTO), "1 of role research (anna), expected 2 of: anna, bert"),
        ((EVE,), "0 of role research, expected 2 of: anna, bert"),
    ],
)
def test_below_a_threshold_it_is_refused(tmp_path: Path, signers: tuple[FileSigner, ...], found: str) -> None:
    with pytest.raises(BundleError) as caught:
        open_bundle(made.write(tmp_path, *signers), TWO_AND_ONE)
    assert str(caught.value).endswith(f"anatomy.inframe: envelope.signatures: found {found}")
    assert caught.value.exit_code == 2


def test_all_thresholds_met_it_is_taken_also_with_a_stranger_among_the_signers(tmp_path: Path) -> None:
    assert opens(made.write(tmp_path, OTTO, EVE, BERT, ANNA), TWO_AND_ONE) == ("otto", "bert", "anna")


def test_the_same_signature_twice_counts_as_nothing(tmp_path: Path) -> None:
    parts = parts_of(made.write(tmp_path, ANNA, OTTO).read_bytes())
    parts.envelope["signatures"].append(parts.envelope["signatures"][0])
    assert "two of one key" in str(refusal(parts.encoded(), TWO_AND_ONE))
    parts.envelope["signatures"][-1] = {**parts.envelope["signatures"][0], "keyid": BERT.key.id}
    assert "one of bert that does not verify" in str(refusal(parts.encoded(), TWO_AND_ONE))


def test_a_broken_signature_of_a_known_key_is_refused_even_where_the_others_would_do(tmp_path: Path) -> None:
    policy = made.policy({"research": 1}, anna=("research", ANNA), bert=("research", BERT))
    parts = parts_of(made.write(tmp_path, ANNA, BERT).read_bytes())
    parts.envelope["signatures"][1]["sig"] = parts.envelope["signatures"][0]["sig"]
    assert "one of bert that does not verify" in str(refusal(parts.encoded(), policy))


def test_without_a_policy_only_what_is_named_so_is_opened(tmp_path: Path) -> None:
    assert opens(made.write(tmp_path), UNSIGNED) == ()


# --- the file --------------------------------------------------------------------------------------------------------


def write_policy(folder: Path, **changes: object) -> Path:
    for name in ("anna", "otto"):
        (folder / f"{name}.pub").write_text(made.signer(name).key.pem)
    keys = [
        {"name": "anna", "role": "research", "file": "anna.pub"},
        {"name": "otto", "role": "quality", "file": "otto.pub"},
    ]
    values = {"keys": keys, "thresholds": {"research": 1, "quality": 1}} | changes
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    return path


def test_a_policy_is_read_and_written_into_one_part_that_needs_no_files(tmp_path: Path) -> None:
    policy = Policy.load(write_policy(tmp_path))
    assert opens(made.signed(tmp_path / "b"), policy) == ("anna", "otto")
    assert Policy.of(policy.config(), Path("device.yaml"), "policy") == policy


PEM = made.signer("anna").key.pem
KEY = "".join(PEM.splitlines()[1:-1])
MISTAKES = [
    ({"keys": []}, "keys: found 0 items, expected at least 1"),
    ({"thresholds": {}}, "thresholds: found 0 items, expected at least 1"),
    ({"thresholds": {"research": 2, "quality": 1}}, "thresholds.research: found 2, expected at most 1, the keys of that role"),
    ({"thresholds": {"research": 0, "quality": 1}}, "thresholds.research: found 0, expected at least 1"),
    ({"thresholds": {"research": 1}}, "keys: found role quality of otto, expected a role with a threshold: research"),
    ({"thresholds": {"research": 1, "quality": 1, "x": 1}}, "thresholds.x: found 1, expected at most 0, the keys of that role"),
    ({"keys": [{"name": "anna", "role": "research", "file": "nope.pub"}]}, "keys.0.file: found No such file or directory"),
    ({"keys": [{"name": "anna", "role": "research"}]}, "keys.0: found both or neither of file and key, expected exactly one"),
    ({"keys": [{"name": "anna", "role": "research", "key": "AAAA"}]}, "keys.0.key: found "),
    ({"keys": [{"name": "anna", "role": "research", "key": KEY}, {"name": "otto", "role": "quality", "key": KEY}]},
     "keys: found the same key twice (anna, otto), expected each key once"),
    ({"key": 1}, "key: found an unknown key, expected keys (known here: keys, thresholds)"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), MISTAKES)
def test_a_mistake_in_a_policy_is_one_line(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Policy.load(write_policy(tmp_path, **changes))
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", [None, b"secret"])
def test_keys_are_kept_in_files_that_only_their_owner_reads(tmp_path: Path, password: bytes | None) -> None:
    signer = new_signer("ecdsa-p384")
    public = write_keys(signer, tmp_path / "key", password)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert read_signer(tmp_path / "key", password).key == read_public_key(public) == signer.key
    with pytest.raises(ConfigError, match="a name that is free"):
        write_keys(signer, tmp_path / "key", password)


def test_other_kinds_of_keys_are_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256K1())):
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (tmp_path / "key").write_bytes(private)
        (tmp_path / "pub").write_bytes(public)
        with pytest.raises(ConfigError, match="expected a key of Ed25519, ECDSA P-256 or P-384, or ML-DSA"):
            read_signer(tmp_path / "key")
        with pytest.raises(ConfigError, match="expected a key of Ed25519, ECDSA P-256 or P-384, or ML-DSA"):
            read_public_key(tmp_path / "pub")


def test_a_private_key_is_not_repeated_in_an_error(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIsecret\n-----END PRIVATE KEY-----\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_signer(tmp_path / "key")
    assert "secret" not in str(caught.value)
