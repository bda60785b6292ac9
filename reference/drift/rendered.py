"""Measures rendered procedures with the device's own code: `python -m reference.drift render`.

Each procedure is looked at PLACES times; at each place two pictures 0.1 s apart, as the device's monitor looks. Some procedures are
looked at ten times a second, which says how alike neighbouring samples are. The model is the shipped one. Each drift is
measured on the very same procedures, before and after.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inframe.core.types import Masks
from inframe.monitor.signals import Kind, Listen, Look, Values, names_of, signal_of
from reference.anomaly.run import logits_of, session
from reference.drift.faults import DRIFTS, Drift
from reference.scene import CLASSES, Procedure
from reference.scene.optics import Picture

FILE = Path(__file__).parent / "rendered.json"
MODEL = Path("src/inframe/reference_device/anatomy.onnx")
SIZE, FPS, APART = (180, 320), 30, 3
SEED = 70_000
PROCEDURES, PLACES = 240, 10
CHANGED, CHANGED_PLACES = 48, 8
DENSE, DENSE_SAMPLES = 16, 100
ALL = names_of({"anatomy": ("segmentation", CLASSES)}, ())
NAMES = tuple(n for n in ALL if signal_of(n).kind is not Kind.MACHINE)

CHANGES = {name: drift for name, drift in DRIFTS.items() if drift.picture or drift.script}


@cache
def _model() -> Any:
    cv2.setNumThreads(1)
    return session(MODEL)


class _Measure:
    """One device's monitor."""

    def __init__(self) -> None:
        self._look, self._listen = Look(), Listen("anatomy", CLASSES)

    def of(self, picture: Picture) -> NDArray[np.float64]:
        values: Values = self._look.picture(picture)
        classes = logits_of(_model(), picture[None])[0].argmax(axis=0).astype(np.uint8)
        values |= self._listen.output(Masks(classes))
        return np.array([values.get(name, np.nan) for name in NAMES])


def _procedure(seed: int, drift: Drift | None) -> Procedure:
    procedure = Procedure(seed, SIZE, FPS)
    if drift is not None and drift.script is not None:
        procedure = Procedure(seed, SIZE, FPS, drift.script(procedure.script))
    return procedure


def places(seed: int, count: int, drift: Drift | None = None) -> NDArray[np.float64]:
    """(signals,): the means over `count` places of one procedure."""
    procedure, found = _procedure(seed, drift), []
    for at in np.linspace(30, 560, count).astype(int):
        measure = _Measure()
        for i in (int(at), int(at) + APART):
            picture = procedure.frame(i)[0]
            if drift is not None and drift.picture is not None:
                picture = drift.picture(picture)
            values = measure.of(picture)
        found.append(values)
    return np.asarray(np.nanmean(found, axis=0))


def _base(seed: int) -> NDArray[np.float64]:
    return places(seed, PLACES)


def _effects(seed: int) -> list[NDArray[np.float64]]:
    before = places(seed, CHANGED_PLACES)
    return [places(seed, CHANGED_PLACES, drift) - before for drift in CHANGES.values()]


def _dense(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(signals,) each: the SD of samples within a procedure, and the correlation of those 0.1 s apart."""
    procedure, measure = _procedure(seed, None), _Measure()
    samples = np.array([measure.of(procedure.frame(60 + i * APART)[0]) for i in range(DENSE_SAMPLES)])[1:]
    centred = samples - samples.mean(axis=0)
    variance = (centred**2).mean(axis=0)
    along = (centred[1:] * centred[:-1]).mean(axis=0)
    return np.sqrt(variance), np.where(variance > 0, along / np.maximum(variance, 1e-12), 0.0)


def render(workers: int) -> None:
    """Write FILE."""
    with ProcessPoolExecutor(workers) as pool:
        base = np.array(list(pool.map(_base, range(SEED, SEED + PROCEDURES))))
        print("measured", flush=True)
        effects = np.array(list(pool.map(_effects, range(SEED + 1000, SEED + 1000 + CHANGED))))
        dense = list(pool.map(_dense, range(SEED + 2000, SEED + 2000 + DENSE)))
    content = {
        "about": f"{PROCEDURES} procedures of the scene simulator from seed {SEED} on, anatomy.onnx; see rendered.py",
        "names": NAMES,
        "procedures": _rounded(base),
        "within_sd": _rounded(np.nanmedian([sd for sd, _ in dense], axis=0)),
        "within_correlation": _rounded(np.nanmedian([r for _, r in dense], axis=0)),
        "effects": {name: _rounded(effects[:, i]) for i, name in enumerate(CHANGES)},
    }
    FILE.write_text(json.dumps(content) + "\n")


def _rounded(values: NDArray[np.floating]) -> Any:
    return [_rounded(row) for row in values] if values.ndim > 1 else [float(f"{v:.5g}") for v in np.nan_to_num(values)]
