"""Bundles: a signed model with everything needed to run and judge it. Make one, sign it, open it verified.

open_bundle     a file or a descriptor -> a Bundle, verified, in sealed memory        docs/bundle.md
Policy          whose signatures are needed
pack, sign      the other way
"""

from inframe.bundle.manifest import Manifest
from inframe.bundle.opening import Bundle, open_bundle
from inframe.bundle.policy import UNSIGNED, Policy
from inframe.core.errors import BundleError

__all__ = ["UNSIGNED", "Bundle", "BundleError", "Manifest", "Policy", "open_bundle"]
