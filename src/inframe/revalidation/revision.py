"""Which code this is: a digest over the package's own source files, as they are installed."""

import hashlib
from functools import cache
from pathlib import Path

import inframe


@cache
def code_revision() -> str:
    """ "inframe VERSION sources SHA-256": of every .py file of the package by its path, in order. A version alone says nothing of
    what somebody changed in place, and an installed package knows no repository."""
    root = Path(inframe.__file__).parent
    total = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        total.update(f"{path.relative_to(root).as_posix()}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return f"inframe {inframe.__version__} sources {total.hexdigest()}"
