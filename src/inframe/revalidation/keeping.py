"""Tallies on the disk, so that a run that was killed goes on where it was: one file for each case, named by all that it depends on.

A file is written whole or not at all, and says its own digest; one that does not hold is measured again.
"""

import hashlib
import json
from pathlib import Path

from inframe.bundle.container import canonical
from inframe.bundle.making import put
from inframe.core.errors import ConfigError
from inframe.revalidation.measuring import Job
from inframe.revalidation.revision import code_revision
from inframe.revalidation.tally import Tally


class Kept:
    """A folder of tallies, made where there is none. Raises ConfigError where it can't be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(folder, "--work", error.strerror or error, "a folder that can be written") from None

    def get(self, job: Job) -> Tally | None:
        """What was measured of it before; None: nothing that holds."""
        try:
            digest, _, text = self._path(job).read_bytes().partition(b"\n")
            if hashlib.sha256(text).hexdigest().encode() != digest:
                return None
            return Tally.model_validate_json(text, strict=True)
        except (OSError, ValueError):
            return None

    def keep(self, job: Job, tally: Tally) -> None:
        """Until the next time. Raises ConfigError."""
        text = tally.model_dump_json().encode()
        put(self._path(job), [hashlib.sha256(text).hexdigest().encode() + b"\n", text], replacing=True)

    def _path(self, job: Job) -> Path:
        return self._folder / f"{key_of(job)}.tally"


def key_of(job: Job) -> str:
    """SHA-256 over what a tally depends on: the case's files, the bundle, the settings and the code. Not over where they lie."""
    settings = json.loads(job.settings.model_dump_json())
    return hashlib.sha256(canonical([job.case, dict(job.digests), job.sha256, settings, code_revision()])).hexdigest()
