"""Statements are DSSE and in-toto as others read them."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from inframe.core.errors import BundleError
from inframe.revalidation.attesting import TEST_RESULT, opened, sealed
from tests.bundle import made

SUBJECT = {"anatomy 1": "a" * 64}
PREDICATE = {"result": "PASSED", "configuration": [], "passedTests": ["dice of anatomy"]}


def test_another_implementation_verifies_it() -> None:
    """securesystemslib, which python-tuf brings."""
    key = made.signer("anna").key
    data = json.loads(sealed(TEST_RESULT, SUBJECT, PREDICATE, [made.signer("anna")]))
    envelope = Envelope.from_dict(data)
    theirs = SSlibKey.from_crypto(load_pem_public_key(key.pem.encode()), key.id)
    assert set(envelope.verify([theirs], 1)) == {key.id}
    statement = json.loads(envelope.payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert statement["subject"] == [{"name": "anatomy 1", "digest": {"sha256": "a" * 64}}]


@pytest.mark.parametrize("spoil", ["payload", "payloadType", "signatures"])
def test_every_part_is_bound(tmp_path: Path, spoil: str) -> None:
    whole = json.loads(sealed(TEST_RESULT, SUBJECT, PREDICATE, [made.signer("anna"), made.signer("otto")]))
    path = tmp_path / "result.json"
    path.write_text(json.dumps(whole))
    subject, predicate, _ = opened(path, TEST_RESULT, made.policy())
    assert (subject, predicate) == (SUBJECT, PREDICATE)
    other = json.loads(
        sealed(TEST_RESULT, SUBJECT, PREDICATE | {"result": "FAILED"}, [made.signer("anna"), made.signer("otto")])
    )
    other["payloadType"] = "text/plain"
    path.write_text(json.dumps(whole | {spoil: other[spoil]}))
    with pytest.raises(BundleError, match="envelope"):
        opened(path, TEST_RESULT, made.policy())
