"""One configured model: from the frame's pixels to an output, timed step by step. Runs in a worker."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inframe.core.clock import Clock
from inframe.core.config import Device, ModelConfig
from inframe.core.errors import ConfigError, one_line
from inframe.core.ports import Engine, TensorSpec
from inframe.core.types import MissedReason, Output, Pixels, Steps
from inframe.drivers.engines import load_engine
from inframe.pipeline.bundled import SIGNED_SLOT, UNSIGNED_SLOT, open_bundle_of
from inframe.pipeline.decode import Decoder, make_decoder
from inframe.pipeline.given import NOTHING, Around, Given, NotThere, around
from inframe.pipeline.inputs import Inputs, match_inputs
from inframe.pipeline.outputs import InvalidOutput, Outputs, Setting, check_finite, shape_text
from inframe.pipeline.preprocess import Preprocessor

_MAX_LABEL_BYTES = 1 << 20
_GREY = 128
NOTHING_BESIDE: Outputs = {}
ALONE = Around()


class Model:
    """Made by `load_model`; used by one thread. Its outputs' arrays are overwritten by the next `run`."""

    def __init__(
        self, engine: Engine, labels: tuple[str, ...], preprocessor: Preprocessor, inputs: Inputs, decoder: Decoder
    ) -> None:
        """The parts must fit together: `load_model` sees to it."""
        self.engine = engine
        self.labels = labels
        self.sha256 = ""
        """Of the file that it was loaded from, the bundle's or the bare model's, hex."""
        self.slot = UNSIGNED_SLOT
        """As the trail names it."""
        self.last_fault = ""
        """Why the last run that missed did so, in one line."""
        self._preprocessor, self._inputs, self._decoder = preprocessor, inputs, decoder
        self._state = dict(inputs.state.values())

    @property
    def capacity(self) -> int:
        """Bytes that the arrays of one output take at most."""
        return self._decoder.capacity

    def run(self, pixels: Pixels, clock: Clock, given: Given = NOTHING) -> tuple[Output | MissedReason, Steps]:
        """The output for one frame and what is given beside it, or INVALID, FAILED or ABSENT; and when each step ended (one not
        reached: when it gave up).

        A recurrent model's state starts again from zero after INVALID, since NaN in it would never go away.
        """
        times = [clock.now()]
        result: Output | MissedReason
        try:
            result = self._infer(pixels, clock, times, given)
        except NotThere as why:
            self.last_fault = one_line(why)
            result = MissedReason.ABSENT
        except InvalidOutput as error:
            self.last_fault = one_line(error)
            self.forget()
            result = MissedReason.INVALID
        except Exception as error:  # noqa: BLE001  # an engine or the integrator's function may raise anything; the worker lives on
            self.last_fault = one_line(f"{type(error).__name__}: {error}")
            result = MissedReason.FAILED
        while len(times) < 4:  # what was not reached ended when it gave up
            times.append(clock.now())
        return result, Steps(*times)

    def _infer(self, pixels: Pixels, clock: Clock, times: list[int], given: Given) -> Output:
        beside = {name: port.array(given.get(name)) for name, port in self._inputs.beside.items()}
        image = self._preprocessor.run(pixels)
        times.append(clock.now())
        outputs = self.engine.run({**feeds(self._inputs, image), **beside})
        times.append(clock.now())
        remember(self._inputs, outputs)
        output = self._decoder(outputs)
        times.append(clock.now())
        return output

    @property
    def takes(self) -> tuple[str, ...]:
        """The inputs that it is given beside the image."""
        return tuple(self._inputs.beside)

    def tried(self, said: Mapping[str, Output]) -> Output:
        """The output for a grey frame of which other models, by their name, say this. Raises InvalidOutput and DeviceFault."""
        ports = self._inputs.beside
        given = {key: port.array(said[port.model]) if port.model in said else port.grey for key, port in ports.items()}
        output = self._decoder(self.raw(grey_frame(self._preprocessor), given))
        self.forget()
        return output

    def raw(self, pixels: Pixels, beside: Outputs = NOTHING_BESIDE) -> dict[str, NDArray[np.generic]]:
        """Copies of what the engine gives for one frame, by output name, before anything is decoded. Raises DeviceFault, and
        InvalidOutput where a state is not finite."""
        outputs = self.engine.run({**feeds(self._inputs, self._preprocessor.run(pixels)), **beside})
        remember(self._inputs, outputs)
        return {name: np.array(array) for name, array in outputs.items()}

    def warm_up(self, clock: Clock, runs: int = 3) -> None:
        """Run on a grey frame, so that the first real one pays for no allocation; then forget it."""
        frame = grey_frame(self._preprocessor)
        tried = {name: port.grey for name, port in self._inputs.beside.items()}
        for _ in range(runs):
            self.run(frame, clock) if not tried else self.raw(frame, tried)
        self.forget()

    def forget(self) -> None:
        """A recurrent model's state is zero again: after a cut in the video, or a new procedure."""
        for array in self._state.values():
            array.fill(0)

    def close(self) -> None:
        """Free the engine; may be called twice."""
        self.engine.close()


def load_of(device: Device, name: str, source: int | None = None) -> Model:
    """The model `name` of a resolved device: out of its bundle, which is verified here and now, or a bare one. `source`: see
    `open_bundle_of`. Raises ConfigError and BundleError; see `load_model`."""
    config = device.models[name]
    stream = device.streams[config.stream]
    size = (stream.width, stream.height)
    others = around(device)
    if name not in device.bundles:
        return load_model(name, config, Path(config.file).parent, size, None, others)
    with open_bundle_of(device, name, source) as bundle:
        inside = bundle.manifest.models[device.bundles[name].model or next(iter(bundle.manifest.models))]
        # An engine takes bytes and no view: a copy, which nothing can change either.
        model = load_model(name, config, Path(config.file).parent, size, bytes(bundle.member(inside.file)), others)
        model.sha256 = bundle.digest
        model.slot = SIGNED_SLOT if bundle.signed_by else UNSIGNED_SLOT
        return model


def load_model(
    name: str,
    config: ModelConfig,
    base: Path,
    frame_size: tuple[int, int],
    data: bytes | None = None,
    others: Around = ALONE,
) -> Model:
    """The model `name` of a device file in the folder `base`, for frames of `frame_size` (width, height). `data`: the model's
    bytes, where they were verified already; else they are read from its file. `others`: what its inputs beside the image come from.

    It has run once, on a grey frame, when this returns: shapes that the file leaves open are known, the decoder has
    read its outputs, an integrator's function has been called. Raises ConfigError for everything that does not fit.
    """
    path = base / config.file
    labels = read_labels(config.labels, base, name)
    preprocessor = Preprocessor(config.preprocess, *frame_size)
    setting = Setting(str(path), name, labels, config.preprocess.size, preprocessor.region)
    for label in config.colours:
        if label not in labels:
            raise setting.wrong("colours", repr(label), f"one of the labels: {', '.join(labels)}")
    engine, sha256 = _load_engine(path, config, setting, data)
    inputs = match_inputs(config, engine.inputs, engine.outputs, preprocessor, setting, others)
    try:
        image = preprocessor.run(grey_frame(preprocessor))
        tried = {name: port.grey for name, port in inputs.beside.items()}
        outputs = engine.run({**feeds(inputs, image), **tried})
    except Exception as error:  # noqa: BLE001  # whatever an engine raises on its first frame, the model's file is to blame
        raise ConfigError(path, f"models.{name}", error, "a model that runs on a grey test frame") from None
    decoder = _first_decoding(config, outputs, inputs, setting, base)
    model = Model(engine, labels, preprocessor, inputs, decoder)
    model.sha256 = sha256
    model.forget()
    return model


def _first_decoding(config: ModelConfig, outputs: Outputs, inputs: Inputs, setting: Setting, base: Path) -> Decoder:
    """The decoder for outputs of these shapes, after it has read them."""
    for source, (target, array) in inputs.state.items():
        if outputs[source].shape != array.shape:
            found = f"output {source!r} of {shape_text(outputs[source].shape)}"
            raise setting.wrong("state", found, f"{shape_text(array.shape)} (input {target!r})")
    named = {getattr(config.decode, key, None) for key in ("output", "scores_output")}
    seen = {key: array for key, array in outputs.items() if key not in inputs.state or key in named}
    decoder = make_decoder(config.decode, _specs(seen), setting, base)
    try:
        remember(inputs, outputs)
        decoder(outputs)
    except InvalidOutput as error:
        found, _, expected = str(error).partition(", expected ")
        raise setting.wrong("decode", found, expected or "finite numbers on a grey test frame") from None
    except Exception as error:  # noqa: BLE001  # an integrator's function may raise anything
        found = f"{type(error).__name__}: {error}"
        raise setting.wrong("decode", found, "a function that takes (outputs, region) and returns an output") from None
    return decoder


def _specs(outputs: Outputs) -> Mapping[str, TensorSpec]:
    return {name: TensorSpec(name, array.shape, array.dtype) for name, array in outputs.items()}


def feeds(inputs: Inputs, image: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    """What the engine gets for one frame."""
    return {inputs.image: image.reshape(inputs.image_shape), **dict(inputs.state.values())}


def remember(inputs: Inputs, outputs: Outputs) -> None:
    """Keep a recurrent model's state for the next frame. Raises InvalidOutput."""
    for source, (_, array) in inputs.state.items():
        check_finite(outputs[source], source)
        if outputs[source].shape != array.shape:
            raise InvalidOutput(
                f"state {source!r} of {shape_text(outputs[source].shape)}, expected {shape_text(array.shape)}"
            )
        np.copyto(array, outputs[source])


def grey_frame(preprocessor: Preprocessor) -> Pixels:
    """A frame of one grey, of the size that the preprocessor takes."""
    return np.full(preprocessor.frame_shape, _GREY, np.uint8)


def read_labels(labels: tuple[str, ...] | str, base: Path, name: str) -> tuple[str, ...]:
    """The labels in order, from the list or the file (one a line, UTF-8, relative to `base`). Raises ConfigError."""
    if isinstance(labels, tuple):
        found, where = list(labels), str(base)
    else:
        path = base / labels
        where = str(path)
        try:
            with path.open("rb") as file:
                text = file.read(_MAX_LABEL_BYTES).decode("utf-8-sig")
        except OSError as error:
            raise ConfigError(path, f"models.{name}.labels", error.strerror or error, "a readable text file") from None
        except UnicodeDecodeError as error:
            raise ConfigError(path, f"models.{name}.labels", f"byte {error.start}, not UTF-8", "UTF-8 text") from None
        found = [line.strip() for line in text.split("\n")]
        while found and not found[-1]:
            found.pop()
    for number, label in enumerate(found, 1):
        if not label:
            raise ConfigError(where, f"models.{name}.labels", f"an empty label (number {number})", "a name for each")
    if not found:
        raise ConfigError(where, f"models.{name}.labels", "no labels", "at least one")
    return tuple(found)


def _load_engine(path: Path, config: ModelConfig, setting: Setting, data: bytes | None) -> tuple[Engine, str]:
    """The engine, and the SHA-256 of the very bytes that it was given."""
    try:
        data = path.read_bytes() if data is None else data
    except OSError as error:
        raise setting.wrong("file", error.strerror or error, "a readable ONNX file") from None
    try:
        return load_engine(data, str(path), config.engine), hashlib.sha256(data).hexdigest()
    except ConfigError as error:  # an engine knows the file, not what the device file calls the model
        raise setting.wrong(error.field, error.found, error.expected) from None
