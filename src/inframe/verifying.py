"""What a bundle's file says of itself, verified, for updates: here the rooms `bundle` and `update` meet."""

from pathlib import Path

from inframe.bundle import UNSIGNED, Policy, open_bundle
from inframe.core.errors import BundleError, UpdateError
from inframe.update.slots import Verified


def verified(path: Path, policy: Policy | None = None) -> Verified:
    """The bundle in that file, with the signatures that `policy` asks for; None: with any or none. Raises UpdateError."""
    try:
        with open_bundle(path, policy or UNSIGNED) as bundle:
            return Verified(bundle.manifest.bundle, bundle.digest, bundle.counter)
    except BundleError as error:
        raise UpdateError(str(error)) from error
