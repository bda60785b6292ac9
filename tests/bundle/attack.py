"""A bundle's file taken apart and put together again, as an attacker would who has every tool but no key."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from inframe.bundle import BundleError, Policy, open_bundle, opening
from inframe.bundle.container import MAGIC, canonical
from inframe.bundle.sealed import SEALS


@dataclass
class Parts:
    """What a file consists of; `encoded` checks nothing."""

    envelope: dict[str, Any]
    members: list[list[Any]]
    """[name, size, …] of each."""
    data: list[bytes]
    tail: bytes = b""
    extra: dict[str, Any] = field(default_factory=dict)

    def encoded(self) -> bytes:
        header = canonical({"envelope": self.envelope, "members": self.members, **self.extra}) + b"\n"
        return MAGIC + f"{len(header):08x}\n".encode() + header + b"".join(self.data) + self.tail


def parts_of(data: bytes) -> Parts:
    start = len(MAGIC) + 9
    end = start + int(data[len(MAGIC) : start], 16)
    header = json.loads(data[start:end])
    members = []
    for _, size in header["members"]:
        members.append(data[end : end + size])
        end += size
    return Parts(header["envelope"], header["members"], members)


@contextmanager
def memory(data: bytes) -> Iterator[int]:
    """A descriptor of sealed memory with these bytes."""
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, data)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
        yield fd
    finally:
        os.close(fd)


def refusal(data: bytes, policy: Policy) -> BundleError:
    """The error that these bytes end in; fails where they are taken."""
    with memory(data) as fd, pytest.raises(BundleError) as caught:
        open_bundle(fd, policy)
    assert str(caught.value).isprintable()
    return caught.value


class ParserReachedError(AssertionError):
    """Something looked into a member before all was verified."""


@contextmanager
def no_parser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """Whatever parses what is inside a member raises; gives how often that happened."""
    reached = []

    def spy(*_args: object, **_kwargs: object) -> None:
        reached.append(1)
        raise ParserReachedError

    import numpy as np
    import onnx
    import onnxruntime

    import inframe.drivers.engines
    from inframe.bundle.manifest import Manifest

    with monkeypatch.context() as patch:
        patch.setattr(opening, "parse_manifest", spy)
        patch.setattr(Manifest, "model_validate_json", spy)
        patch.setattr(onnxruntime, "InferenceSession", spy)
        patch.setattr(onnx, "load_model_from_string", spy)
        patch.setattr(inframe.drivers.engines, "check_onnx", spy)
        patch.setattr(np, "load", spy)
        yield lambda: len(reached)
