"""Making a bundle's bytes: from a recipe and its files, or from a bundle with one more signature."""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from inframe.bundle import statement
from inframe.bundle.bom import bom
from inframe.bundle.container import MAX_MEMBER, MAX_MEMBERS, Header, is_name
from inframe.bundle.envelope import PAYLOAD_TYPE, Envelope, Signature, signed_by
from inframe.bundle.keys import PublicKey, Signer
from inframe.bundle.manifest import BOM, MANIFEST, Manifest, Recipe
from inframe.bundle.opening import Bundle
from inframe.core.errors import BundleError, ConfigError
from inframe.core.yamlfile import parse_json, parse_yaml, read_bytes

MAX_LABELS = 1 << 20


def read_recipe(path: Path) -> Recipe:
    """A bundle.yaml. Raises ConfigError."""
    return parse_yaml(read_bytes(path, "recipe"), path, Recipe, "recipe")


def pack(recipe: Path, changes: Mapping[str, object] | None = None) -> tuple[Manifest, bytes, list[bytes]]:
    """The manifest, the header and the members of the bundle that `recipe` (a bundle.yaml) describes, not signed yet. `changes`:
    fields to be used in place of the recipe's. Raises ConfigError for a recipe or a file that is wrong."""
    manifest = _manifest(recipe, read_recipe(recipe).model_copy(update=dict(changes or {})))
    members = {file: _read(recipe, field, file) for field, file in manifest.files()}
    if len(members) + 2 > MAX_MEMBERS:
        raise ConfigError(recipe, "file", f"{len(members)} files", f"at most {MAX_MEMBERS - 2}")
    members[MANIFEST] = manifest.model_dump_json(indent=1).encode() + b"\n"
    members[BOM] = bom(manifest, _digests(members))
    envelope = Envelope(statement.make(manifest.bundle, _digests(members)), PAYLOAD_TYPE, ())
    header = Header(envelope, tuple((name, len(members[name])) for name in sorted(members)))
    return manifest, header.encoded(), [members[name] for name in sorted(members)]


def _digests(members: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}


def _manifest(recipe: Path, written: Recipe) -> Manifest:
    values = written.model_dump(mode="json")
    for name, model in written.models.items():
        if isinstance(model.labels, str):
            values["models"][name]["labels"] = _labels(recipe, f"models.{name}.labels", model.labels)
    return parse_json(json.dumps(values), recipe, Manifest, "recipe")


def _labels(recipe: Path, field: str, file: str) -> list[str]:
    data = _read(recipe, field, file)
    try:
        text = data.decode("utf-8-sig") if len(data) <= MAX_LABELS else ""
    except UnicodeDecodeError as error:
        raise ConfigError(recipe, field, f"{file} (byte {error.start} is not UTF-8)", "UTF-8 text") from None
    labels = [line.strip() for line in text.rstrip().split("\n")]
    if not all(label and label.isprintable() for label in labels):
        raise ConfigError(recipe, field, file, "a text file with one label a line")
    return labels


def _read(recipe: Path, field: str, file: str) -> bytes:
    """A file that becomes a member under that very name."""
    if not is_name(file) or file in (MANIFEST, BOM):
        raise ConfigError(
            recipe, field, file, f"a path of letters, digits and ._- below the recipe, not {MANIFEST} or {BOM}"
        )
    path = recipe.parent / file
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(fd, "rb") as opened:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_MEMBER:
                raise ConfigError(
                    recipe,
                    field,
                    f"{file} ({status.st_size:,} bytes)",
                    f"a regular file of at most {MAX_MEMBER:,} bytes",
                )
            return opened.read()
    except OSError as error:
        raise ConfigError(recipe, field, f"{file} ({error.strerror or error})", "a readable file, no link") from None


def sign(bundle: Bundle, signer: Signer) -> bytes:
    """The header of the bundle with that key's signature added, in place of an older one of the same key."""
    envelope = bundle.header.envelope
    others = tuple(one for one in envelope.signatures if one.key_id != signer.key.id)
    return _with(
        bundle, replace(envelope, signatures=(*others, Signature(signer.key.id, signer.sign(envelope.message))))
    )


def attach(where: str, bundle: Bundle, signed: Envelope, key: PublicKey) -> bytes:
    """The header of the bundle with a signature that another tool made of its members (`openssf.read`), by `key`. Their statement
    takes the place of ours, so the bundle must have no other signature of another statement. Raises BundleError."""
    if not signed_by(signed, key):
        raise BundleError(where, "dsseEnvelope", f"no signature of the key {key.id[:16]}… that verifies", "one")
    if statement.digests_in(where, signed.payload) != bundle.digests:
        raise BundleError(where, "dsseEnvelope.payload", "other members", "the members of the bundle")
    envelope = bundle.header.envelope
    same = envelope.payload == signed.payload
    if envelope.signatures and not same:
        raise BundleError(
            where, "dsseEnvelope.payload", "another statement than the one that has signatures", "a bundle without"
        )
    others = tuple(one for one in envelope.signatures if one.key_id != key.id)
    (raw,) = (one.raw for one in signed.signatures if key.accepts(signed.message, one.raw))
    return _with(bundle, replace(signed, signatures=(*others, Signature(key.id, raw))))


def _with(bundle: Bundle, envelope: Envelope) -> bytes:
    return replace(bundle.header, envelope=envelope).encoded()


def put(path: Path, parts: list[bytes | memoryview], *, replacing: bool) -> None:
    """Write a file whole or not at all. Raises ConfigError; without `replacing` also where the file is there."""
    new = path.with_name(f".{path.name}.new")
    try:
        if not replacing and os.path.lexists(path):
            raise ConfigError(path, "--out", "a file that exists", "a name that is free")
        with new.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(path, "--out", error.strerror or error, "a folder that can be written") from None
