"""A language model on its way into a box: a signed container as every model's (bundle/), with a GGUF file in it; verified
byte by byte in sealed memory before anything that knows GGUF sees one.

    assistant.json    what it is: name, version, context
    model.gguf        the model

The order is that of bundle/opening.py; only what the members mean is different.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from inframe import reference_device
from inframe.bundle import UNSIGNED, Policy, container, envelope, statement
from inframe.bundle.container import MAX_BUNDLE, Header
from inframe.bundle.envelope import PAYLOAD_TYPE, Envelope, Signature
from inframe.bundle.keys import Signer
from inframe.bundle.opening import check_members
from inframe.bundle.sealed import Sealed, fill, seal
from inframe.core.assist import REFERENCE
from inframe.core.errors import BundleError, ConfigError
from inframe.core.part import Name, Part
from inframe.core.yamlfile import parse_json

ABOUT, MODEL = "assistant.json", "model.gguf"
SHIPPED = "assistant.gguf"
SHIPPED_SHA256 = "387ebe9cc382d0d17c199d9621396447e13128645da02e3c381f668503202e41"
"""Of the tiny model that comes with this version (reference_device/)."""
MAX_ABOUT = 1 << 16


class About(Part):
    """What a packed model says of itself."""

    name: Name
    version: Annotated[str, Field(min_length=1, max_length=64)]
    context: int = Field(1024, ge=64, le=1 << 17, description="tokens")


@dataclass(frozen=True, slots=True)
class Model:
    """A verified model in sealed memory."""

    about: About
    digest: str
    """SHA-256 of the GGUF file, hex."""
    signed_by: tuple[str, ...]
    sealed: Sealed


def about_of(name: str, version: str, context: int) -> About:
    """What a model says of itself, as given on the command line. Raises ConfigError."""
    raw = json.dumps({"name": name, "version": version, "context": context})
    return parse_json(raw, Path("inframe assistant pack"), About, "assistant")


def pack(about: About, gguf: Path, signer: Signer | None) -> list[bytes]:
    """The parts of the container, signed by that key. Raises ConfigError for a file that can't be read."""
    try:
        model = gguf.read_bytes()
    except OSError as error:
        raise ConfigError(gguf, "GGUF", error.strerror or error, "a readable file") from None
    members = {ABOUT: about.model_dump_json().encode() + b"\n", MODEL: model}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    signed = Envelope(statement.make(about.name, digests), PAYLOAD_TYPE, ())
    if signer is not None:
        signed = Envelope(signed.payload, PAYLOAD_TYPE, (Signature(signer.key.id, signer.sign(signed.message)),))
    names = sorted(members)
    return [Header(signed, tuple((name, len(members[name])) for name in names)).encoded(), *(members[n] for n in names)]


@contextmanager
def opened(file: Path, policy: Policy) -> Iterator[Model]:
    """The model in a packed file, verified against the policy. Raises BundleError."""
    packed = seal(file, MAX_BUNDLE)
    try:
        where = str(file)
        header, members = container.split(where, packed.view)
        signed_by = envelope.signers(where, header.envelope, policy)
        digests = statement.digests_in(where, header.envelope.payload)
        check_members(where, digests, members)
        if set(members) != {ABOUT, MODEL} or len(members[ABOUT]) > MAX_ABOUT:
            raise BundleError(file, "members", ", ".join(members), f"{ABOUT} and {MODEL}")
        about = _about(file, bytes(members[ABOUT]))
        model = members[MODEL]
        alone = Sealed(fill(lambda at: bytes(model[at : at + (1 << 20)]), MAX_BUNDLE, where))
        for view in members.values():
            view.release()
    finally:
        packed.close()
    try:
        yield Model(about, digests[MODEL], signed_by, alone)
    finally:
        alone.close()


def named(model: str, policy: Policy | None) -> AbstractContextManager[Model]:
    """The model of that name: `reference`, or a packed file. Raises BundleError."""
    return shipped() if model == REFERENCE else opened(Path(model), UNSIGNED if policy is None else policy)


def _about(file: Path, raw: bytes) -> About:
    try:
        return parse_json(raw.decode(), file, About, "assistant")
    except (ConfigError, UnicodeDecodeError) as error:
        raise BundleError(file, ABOUT, str(error), "name, version and context") from None


@contextmanager
def shipped() -> Iterator[Model]:
    """The tiny model that comes along, if it is the very one. Raises BundleError."""
    file = Path(reference_device.__file__).parent / SHIPPED
    sealed = seal(file, MAX_BUNDLE)
    try:
        digest = hashlib.sha256(sealed.view).hexdigest()
        if digest != SHIPPED_SHA256:
            raise BundleError(file, "sha256", digest, SHIPPED_SHA256)
        yield Model(About(name="reference", version="1"), digest, (), sealed)
    finally:
        sealed.close()
