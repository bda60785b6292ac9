"""What a bundle's file says of itself, verified, for updates. The one place where the rooms `bundle` and `update` meet."""

from pathlib import Path

from inframe.core.errors import UpdateError
from inframe.update.slots import Verified


def verified(path: Path, *, signatures: bool = True) -> Verified:
    """The bundle in that file. `signatures`: those that the device's policy asks for. Raises UpdateError."""
    raise UpdateError(
        f"{path}: bundle: found a file, expected a build of inframe that reads bundles (signatures: {signatures})"
    )
