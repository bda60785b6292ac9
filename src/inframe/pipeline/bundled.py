"""The bundles of a resolved device: opened against its policy, each time anew, and the very one that was resolved.

What opens them is imported when there is one: without, a worker starts a tenth of a second sooner.
"""

import fcntl
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from inframe import __version__
from inframe.core.config import BundleConfig, Device, ModelConfig
from inframe.core.errors import BundleError
from inframe.core.part import PolicyConfig

if TYPE_CHECKING:
    from inframe.bundle import Bundle, Policy
    from inframe.bundle.manifest import BundledModel

SIGNED_SLOT, UNSIGNED_SLOT = "active", "unsigned"
"""As the trail names them; a bare model's digest there is its file's."""


def policy_of(device: Device) -> "Policy":
    """The policy of a resolved device; UNSIGNED where it has none."""
    from inframe.bundle import UNSIGNED, Policy

    if isinstance(device.policy, PolicyConfig):
        return Policy.of(device.policy, Path("device"), "policy")
    return UNSIGNED


def open_bundle_of(device: Device, name: str, source: int | None = None) -> "Bundle":
    """The bundle of the model `name`, verified: from sealed memory behind the descriptor `source`, which the parent filled when
    the device started, or else from its file. Raises BundleError."""
    from inframe.bundle import open_bundle

    config = device.bundles[name]
    bundle = open_bundle(Path(config.path) if source is None else source, policy_of(device))
    try:
        must_be(bundle, config)
    except BundleError:
        bundle.close()
        raise
    return bundle


def must_be(bundle: "Bundle", config: BundleConfig) -> None:
    """That it is the very file that was asked for. Raises BundleError."""
    if config.digest is not None and bundle.digest != config.digest:
        raise BundleError(config.path, "digest", bundle.digest, config.digest)


def used_as(bundle: "Bundle", config: BundleConfig) -> tuple[ModelConfig, BundleConfig]:
    """The bundle's model with the device's own settings; and where it came from, for those who open it again. Raises
    BundleError."""
    must_be(bundle, config)
    inside, model = model_in(bundle, config)
    settings = {key: getattr(model, key) for key in type(model).model_fields}
    settings |= {"file": config.path, "colours": {**model.colours, **config.colours}}
    used = {"stream": config.stream, "engine": config.engine, "worker": config.worker}
    resolved = ModelConfig.model_validate({**settings, **used})
    return resolved, config.model_copy(update={"model": inside, "digest": bundle.digest})


def model_in(bundle: "Bundle", config: BundleConfig) -> "tuple[str, BundledModel]":
    """The model that is asked for, with its name in the bundle, if this device can run it. Raises BundleError."""
    from inframe.bundle.manifest import problems

    models = bundle.manifest.models
    name = config.model or next(iter(models))
    if name not in models or (config.model is None and len(models) > 1):
        expected = f"one of its models: {', '.join(models)}"
        raise BundleError(
            config.path, "model", config.model or f"none named, and {len(models)} in the bundle", expected
        )
    engines: dict[str, str] = {config.engine.name: _version(config.engine.name)}
    for field, found, expected in problems(
        bundle.manifest, inframe=__version__, engines=engines, architecture=platform.machine()
    ):
        raise BundleError(config.path, field, found, expected)
    return name, models[name]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def share(device: Device) -> tuple[dict[str, int], dict[str, Mapping[str, str]]]:
    """For the processes of a device that starts: each bundle's sealed memory as "bundle.NAME" (a worker that is started again in
    the middle of a procedure needs no disk), and what the record should know of it by model. Raises BundleError."""
    shared: dict[str, int] = {}
    facts: dict[str, Mapping[str, str]] = {}
    for name in device.bundles:
        with open_bundle_of(device, name) as bundle:
            shared[f"bundle.{name}"] = descriptor_of(bundle)
            if device.monitor is not None:
                shared[f"reference.{name}"] = _reference(bundle, device.bundles[name])
            facts[name] = facts_of(bundle, name)
    return shared, facts


def _reference(bundle: "Bundle", config: BundleConfig) -> int:
    """A descriptor of the locked reference of its model, which can only be read from now on; empty where it has none."""
    member = bundle.manifest.reference.get(config.model or "")
    fd = os.memfd_create("inframe:reference", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, bundle.member(member) if member is not None else b"")
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd


def descriptor_of(bundle: "Bundle") -> int:
    """A descriptor of its sealed memory, which stays when the bundle is closed."""
    return fcntl.fcntl(bundle.fd, fcntl.F_DUPFD_CLOEXEC, 3)


def facts_of(bundle: "Bundle", name: str) -> Mapping[str, str]:
    """What the record should know of the bundle of the model `name`."""
    signed_by = ", ".join(bundle.signed_by) or "nobody: UNSIGNED"
    return {"model": name, "bundle": bundle.name, "sha256": bundle.digest, "signed_by": signed_by}
