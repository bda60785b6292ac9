"""Whether models may take the place of those of a running device, and what a worker needs to run them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inframe.core.config import BundleConfig, Device, ModelConfig
from inframe.core.errors import ConfigError
from inframe.pipeline import bundled
from inframe.pipeline.loop import awaited
from inframe.pipeline.places import ROOM
from inframe.pipeline.results import bound


@dataclass(frozen=True, slots=True)
class Proposed:
    """A candidate that fits."""

    device: Device
    """With its models."""
    models: tuple[str, ...]
    sealed: dict[str, int]
    """The sealed memory of its bundles as "bundle.NAME"; whoever takes them closes them."""
    signed_by: str

    @property
    def unsigned(self) -> list[str]:
        """Its models that nobody signed."""
        return [name for name in self.models if name in self.device.unsigned]

    def close(self) -> None:
        """Give the sealed memory back; may be called twice."""
        while self.sealed:
            os.close(self.sealed.popitem()[1])


def prepare(device: Device, models: Mapping[str, ModelConfig], bundles: Mapping[str, BundleConfig]) -> Proposed:
    """These models, resolved, and those in these bundles, which are verified here and now against the policy of the running
    device: what is signed is what runs. Raises ConfigError for models that don't fit or that nobody signed where the device
    does not allow it, BundleError."""
    every, configs, signed_by = dict(models), dict[str, BundleConfig](), set[str]()
    sealed: dict[str, int] = {}
    try:
        for name, config in bundles.items():
            from inframe.bundle import open_bundle

            with open_bundle(Path(config.path), bundled.policy_of(device)) as bundle:
                every[name], configs[name] = bundled.used_as(bundle, config)
                sealed[f"bundle.{name}"] = bundled.descriptor_of(bundle)
                signed_by |= set(bundle.signed_by)
        fit(device, every)
        return Proposed(beside(device, every, configs), tuple(every), sealed, ", ".join(sorted(signed_by)))
    except BaseException:  # also when interrupted: the memory is given back, and the error goes on
        for fd in sealed.values():
            os.close(fd)
        raise


def of_slots(device: Device) -> dict[str, BundleConfig]:
    """The bundles of a resolved device that come from its slots."""
    return {name: one for name, one in device.bundles.items() if one.bundle is not None}


def beside_active(device: Device, files: Mapping[str, str]) -> Proposed:
    """The models of a release as a candidate of the device that runs the active one. Raises ConfigError, BundleError."""
    used = {
        name: one.model_copy(update={"file": files[one.bundle or name], "digest": None})
        for name, one in of_slots(device).items()
        if (one.bundle or name) in files
    }
    return prepare(device, {}, used)


def beside(device: Device, models: Mapping[str, ModelConfig], bundles: Mapping[str, BundleConfig]) -> Device:
    """The device with these models, resolved, of which those in `bundles` come out of them. Raises ConfigError for one that
    nobody signed where the device does not allow it."""
    kept = {name: one for name, one in device.bundles.items() if name not in models}
    changes = {"models": {**device.models, **models}, "bundles": {**kept, **bundles}}
    candidate = device.model_copy(update=changes)
    for name, model in models.items():
        if name in candidate.unsigned and not device.allow_unsigned:
            expected = "a signed bundle, or allow_unsigned: true in the running device's file (development)"
            raise ConfigError(model.file, f"models.{name}.file", f"{model.file}, which nobody signed", expected)
    return candidate


def fit(device: Device, models: Mapping[str, ModelConfig]) -> None:
    """Whether these may take the place of the device's models of the same names while it runs: what the display, the rules and the
    rings were set up for must be the same. `models` are resolved. Raises ConfigError."""
    if not models:
        raise ConfigError("candidate", "models", "none", "at least one")
    for name, model in models.items():
        if name not in device.models:
            raise ConfigError(model.file, f"models.{name}", repr(name), f"one of: {', '.join(device.models)}")
        _fit(device, name, device.models[name], model)


def _fit(device: Device, name: str, now: ModelConfig, model: ModelConfig) -> None:
    for key in ("stream", "worker", "every", "max_age_ms", "required", "labels", "colours"):
        if getattr(model, key) != getattr(now, key):
            raise ConfigError(
                model.file, f"models.{name}.{key}", getattr(model, key), f"{getattr(now, key)}, as it runs"
            )
    same: tuple[tuple[str, object, object], ...] = (
        ("decode.kind", _kind(model), _kind(now)),
        ("decode.full_scale", getattr(model.decode, "full_scale", 1.0), getattr(now.decode, "full_scale", 1.0)),
    )
    for key, found, wanted in same:
        if found != wanted:
            raise ConfigError(model.file, f"models.{name}.{key}", found, f"{wanted}, as it runs")
    if awaited({name: model}, device.deadline_ns) != awaited({name: now}, device.deadline_ns):
        expected = "one within the frame's deadline" if awaited({name: now}, device.deadline_ns) else "one beyond it"
        raise ConfigError(model.file, f"models.{name}.budget_ms", model.budget_ms, f"{expected}, as it runs")
    if bound(model) > ROOM * bound(now):
        size = f"at most {ROOM} times the pixels of {now.preprocess.size[0]}x{now.preprocess.size[1]}"
        raise ConfigError(model.file, f"models.{name}.preprocess.size", model.preprocess.size, size)


def _kind(model: ModelConfig) -> str:
    return getattr(model.decode, "returns", None) or model.decode.kind
