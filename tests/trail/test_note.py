"""Signed notes, keys, checkpoints and cosignatures against published vectors."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from inframe.core.errors import ConfigError
from inframe.trail.errors import TrailDamaged
from inframe.trail.files import Disk
from inframe.trail.note import (
    Checkpoint,
    Key,
    Scheme,
    Signer,
    parse_checkpoint,
    parse_key,
    signed,
    split_note,
    subtree_message,
    verified,
    verified_checkpoint,
)
from inframe.trail.witness import Witness
from tests.trail import independent_verifier as other
from tests.trail.made import KEY, PQ_SIGNER, PQ_WITNESS, SIGNER, WITNESS

# golang.org/x/mod/sumdb/note/note_test.go
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
NOTE = (TEXT + "\n" + PETER_LINE + ENOCH_LINE).encode()
CHECKPOINT = Checkpoint(
    "example.com/behind-the-sofa", 20852163, base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
)


def test_go_note_is_signed_alike() -> None:
    signer = Signer("PeterNeumann", Scheme.ED25519, PETER_SEED)
    assert signer.key.text() == PETER
    assert signed(TEXT, [signer], 0) == (TEXT + "\n" + PETER_LINE).encode()


def test_go_note_verifies() -> None:
    peter, enoch = parse_key(PETER), parse_key(ENOCH)
    for keys in ([peter], [enoch], [peter, enoch]):
        text, found = verified(NOTE, keys)
        assert text == TEXT
        assert [key for key, _ in found] == keys
    assert other.ed25519_verifies(peter.public, TEXT.encode(), base64.b64decode(PETER_LINE.split(" ")[2])[4:])


def test_go_bad_notes_are_refused() -> None:
    peter = parse_key(PETER)
    bad = [
        TEXT,
        TEXT + "\n",
        TEXT + "\n" + PETER_LINE[:-1],
        "\x01" + TEXT + "\n" + PETER_LINE,
        TEXT
        + "\n"
        + "— Bad Name x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n",
        TEXT + "\n" + PETER_LINE + "Unexpected line.\n",
        TEXT + "\n" + PETER_LINE * 101,
        TEXT + "\n" + PETER_LINE[:60] + "ABCD" + PETER_LINE[60:],
        TEXT + "\n" + PETER_LINE.replace("x08g", "xxxx"),
        TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "CarmenSandiego"),
        TEXT.replace("answer", "question") + "\n" + PETER_LINE,
    ]
    for note in [*(text.encode() for text in bad), b"\xff" + NOTE]:
        with pytest.raises(TrailDamaged):
            verified(note, [peter])


def test_go_bad_keys_are_refused() -> None:
    raw = PETER.encode()
    wrong = [raw[i:j] for i in range(len(raw)) for j in range(i + 1, len(raw) + 1) if (i, j) != (0, len(raw))]
    wrong += [raw[:i] + bytes([raw[i] + 1]) + raw[i + 1 :] for i in range(len(raw))]
    wrong += [b"PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY=="]
    wrong += [b"PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"]
    for key in wrong:
        with pytest.raises(ConfigError):
            parse_key(key.decode())


def test_every_byte_of_a_note_counts() -> None:
    note = signed(CHECKPOINT.text().replace("example.com/behind-the-sofa", KEY.name), [SIGNER], 0)
    for i in range(len(note)):
        for bit in (1, 0x80):
            with pytest.raises(TrailDamaged):
                verified_checkpoint(note[:i] + bytes([note[i] ^ bit]) + note[i + 1 :], KEY)


def test_a_checkpoint_is_of_the_log_that_the_key_names() -> None:
    with pytest.raises(TrailDamaged, match=r"log example\.com/behind-the-sofa"):
        verified_checkpoint(signed(CHECKPOINT.text(), [SIGNER], 0), KEY)


def test_the_checkpoint_of_the_specification() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert CHECKPOINT.text() == text
    assert parse_checkpoint(text) == CHECKPOINT
    bad = [
        "",
        "\n",
        text[:-1],
        text + "extension\n",
        text.replace("20852163", "020852163"),
        text.replace("20852163", "-1"),
    ]
    bad += [text.replace("20852163", "2" * 5000), text.replace("jxq2I=", "jxq2J="), text.replace("=", ""), "\n" + text]
    for wrong in [*bad, text.replace("20852163", "\uff12"), text.replace("example.com/behind-the-sofa", "")]:
        with pytest.raises(TrailDamaged):
            parse_checkpoint(wrong)


@pytest.mark.parametrize("signer", [WITNESS, PQ_WITNESS, PQ_SIGNER])
def test_a_cosignature_states_its_time(signer: Signer) -> None:
    note = signed(CHECKPOINT.text(), [signer], 1679315147)
    text, [(key, signature)] = verified(note, [parse_key(signer.key.text())])
    assert (text, key, signature.time_s) == (CHECKPOINT.text(), signer.key, 1679315147)
    later = signature.signature[:7] + bytes([signature.signature[7] ^ 1]) + signature.signature[8:]
    assert not key.accepts(text, later)
    assert not key.accepts(text.replace("163", "164"), signature.signature)
    assert (
        not Key(key.name + "x", key.scheme, key.public).accepts(text, signature.signature)
        or key.scheme is Scheme.COSIGNATURE
    )


def test_the_cosigned_message_of_the_specification() -> None:
    """c2sp.org/tlog-cosignature prints this message; here an Ed25519 implementation that is not ours checks it."""
    message = "cosignature/v1\ntime 1679315147\n" + CHECKPOINT.text()
    _, (signature,) = split_note(signed(CHECKPOINT.text(), [WITNESS], 1679315147))
    assert other.ed25519_verifies(WITNESS.key.public, message.encode(), signature.signature[8:])


def test_a_cosignature_made_by_torchwood() -> None:
    """An ML-DSA-44 subtree signature of another implementation, over leaves 8 to 13."""
    data = json.loads((Path(__file__).parent / "mldsa_cosignature.json").read_text())
    key = parse_key(data["vkey"])
    raw = base64.b64decode(data["signature"])
    assert (key.scheme, key.id, raw[4:12]) == (Scheme.ML_DSA_44, raw[:4], bytes(8))
    end = Checkpoint(data["origin"], data["end"], base64.b64decode(data["root"]))
    MLDSA44PublicKey.from_public_bytes(key.public).verify(raw[12:], subtree_message(key.name, 0, end, data["start"]))


def test_keys_of_other_implementations() -> None:
    """transparency-dev/formats note/note_cosigv1_test.go."""
    assert parse_key("TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6").scheme is Scheme.ED25519
    assert (
        parse_key("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2").scheme is Scheme.COSIGNATURE
    )


def test_a_request_from_litewitness_tests(tmp_path: Path) -> None:
    """An add-checkpoint request of torchwood's cmd/litewitness/testdata, by a Sigsum log."""
    origin = "sigsum.org/v1/tree/985ea163f5af026723561354f51f2ebcdcf2af809ce254ccfb64aa9aadd80f90"
    request = (
        f"old 0\n\n{origin}\n1\nKgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— {origin} "
        "7BKT0gOfNZ1J0So9unY3BZtm2YkPIoNYM/dce0Z2avJDs8dxN6ts9bOSwwrVrbjm6P9K3ZxpK6jJngOG6YvGGzV/lwo=\n"
    )
    key = Key(origin, Scheme.ED25519, bytes.fromhex("52c05edad1bf5feffa81354faae59a655d9a9a1a793ed2f62c39c26c0be2aecd"))
    witness = Witness(Disk(tmp_path), (WITNESS,), {origin: key})
    lines = witness.add_checkpoint(request.encode(), 1)
    assert lines.startswith("— witness.example/w1 ".encode())
    assert witness.last(origin).size == 1
