"""Whose signatures make a bundle one that runs: keys by role, and how many of each role must have signed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inframe.bundle.base64text import from_base64, to_base64
from inframe.bundle.keys import EXPECTED, PublicKey, public_key, read_public_key
from inframe.core.errors import ConfigError
from inframe.core.part import PolicyConfig, TrustedKey
from inframe.core.yamlfile import parse_yaml, read_bytes


@dataclass(frozen=True, slots=True)
class Trusted:
    """A key, whose it is, and for whom it signs."""

    name: str
    role: str
    key: PublicKey


@dataclass(frozen=True)
class Policy:
    """Made by `load` or `of`. `thresholds`: role -> how many different keys of it must have signed."""

    keys: tuple[Trusted, ...]
    thresholds: Mapping[str, int]

    @staticmethod
    def load(path: Path) -> "Policy":
        """From a YAML file; the keys' files are relative to its folder. Raises ConfigError."""
        return Policy.of(parse_yaml(read_bytes(path, "policy"), path, PolicyConfig, "policy"), path)

    @staticmethod
    def of(config: PolicyConfig, path: Path, field: str = "") -> "Policy":
        """From a part of a file. `path` is that file, `field` where in it the part stands. Raises ConfigError."""
        prefix = f"{field}." if field else ""
        keys = tuple(_trusted(path, f"{prefix}keys.{i}", one) for i, one in enumerate(config.keys))
        for what in ("name", "key"):
            twice = [one.name for one in keys if Counter(getattr(k, what) for k in keys)[getattr(one, what)] > 1]
            if twice:  # one person with two roles would meet two thresholds alone
                raise ConfigError(
                    path, f"{prefix}keys", f"the same {what} twice ({', '.join(twice)})", f"each {what} once"
                )
        roles = Counter(one.role for one in keys)
        for role, threshold in config.thresholds.items():
            if roles[role] < threshold:
                raise ConfigError(
                    path, f"{prefix}thresholds.{role}", threshold, f"at most {roles[role]}, the keys of that role"
                )
        for one in keys:
            if one.role not in config.thresholds:  # a signature that nobody asks for is a mistake of the file
                known = ", ".join(config.thresholds)
                raise ConfigError(
                    path, f"{prefix}keys", f"role {one.role} of {one.name}", f"a role with a threshold: {known}"
                )
        return Policy(keys, dict(config.thresholds))

    def config(self) -> PolicyConfig:
        """As a part of a file that needs no other file."""
        keys = tuple(TrustedKey(name=k.name, role=k.role, file=None, key=to_base64(k.key.der)) for k in self.keys)
        return PolicyConfig(keys=keys, thresholds=dict(self.thresholds))


UNSIGNED = Policy((), {})
"""Asks for no signature: only for what does not run on a device, or where the device file allows it. Everything else of a bundle
is verified all the same."""


def _trusted(path: Path, field: str, config: TrustedKey) -> Trusted:
    if config.file is not None:
        return Trusted(config.name, config.role, read_public_key(path.parent / config.file, f"{field}.file"))
    try:
        return Trusted(config.name, config.role, public_key(from_base64(config.key) or b""))
    except ValueError as error:
        raise ConfigError(path, f"{field}.key", error, f"the base64 of {EXPECTED}") from None
