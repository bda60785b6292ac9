"""How organs are arranged in one procedure, back to front."""

from dataclasses import dataclass, field

import numpy as np

from reference.scene.classes import BOWEL, FAT, GALLBLADDER, LIVER, WALL
from reference.scene.materials import LIGAMENT, MATERIALS, Material
from reference.scene.shapes import Points, blob, branches, capped, curve, tube, turn


@dataclass
class Layer:
    """One organ: an outline, how far it stands out, and its look."""

    label: int
    outline: Points
    rise: float  # how far its middle stands out of what lies behind, scene units
    edge: float  # how far from its edge it has risen fully
    mobility: float  # how much breathing moves it
    soft: float = 0.004  # width over which it merges with what lies behind
    material: Material | None = None
    vessels: list[list[Points]] = field(default_factory=list)  # trees of lines


def _vessels(rng: np.random.Generator, outline: Points, count: int) -> list[list[Points]]:
    """Trees that start inside an outline, near the line from its edge to its middle."""
    trees = []
    middle, size = outline.mean(axis=0), float(np.ptp(outline, axis=0).min())
    for _ in range(rng.integers(0, count + 1)):
        start = middle + (outline[rng.integers(len(outline))] - middle) * rng.uniform(0.1, 0.95)
        length = rng.uniform(0.25, 0.8) * min(size, 0.6)
        trees.append(branches(rng, start, rng.uniform(0, 2 * np.pi), length, int(rng.integers(1, 3))))
    return trees


def _gallbladder(rng: np.random.Generator) -> tuple[list[Layer], Points]:
    """A pear from fundus to neck, at times folded over; and its fundus, where a grasper takes it."""
    length, width = rng.uniform(0.4, 1.0), rng.uniform(0.07, 0.16)
    bend = rng.normal(0, 0.07, 4)
    knots = np.stack([bend - bend[0], np.linspace(-0.5, 0.5, 4) * length], axis=1)
    line = curve(knots)
    s = np.linspace(0, 1, len(line))
    belly, neck = rng.uniform(0.25, 0.65), rng.uniform(0.2, 0.6)
    radius = width * capped(len(s), 0.22, 0.06) * (1 - (1 - neck) * np.clip((s - belly) / (1 - belly), 0, 1) ** 1.5)
    angle, centre = rng.normal(0, 0.6), (rng.uniform(-0.3, 0.3), rng.uniform(-0.15, 0.2))
    line, outline = turn(line, angle) + centre, turn(tube(line, radius), angle) + centre
    rise = width * rng.uniform(0.7, 1.3)
    layers = [Layer(GALLBLADDER, outline, rise, width * rng.uniform(0.8, 1.1), 0.8)]
    if rng.random() < 0.3:  # the fundus folded down beside the body
        side = rng.choice([-1.0, 1.0]) * width * rng.uniform(1.0, 1.5)
        place = line[4] + turn(np.array([[side, length * rng.uniform(0.05, 0.25)]]), angle)[0]
        lobe = blob(
            rng,
            tuple(place),
            (width * rng.uniform(0.6, 0.9), length * rng.uniform(0.18, 0.3)),
            angle + rng.normal(0, 0.2),
            0.04,
        )
        layers.insert(int(rng.integers(2)), Layer(GALLBLADDER, lobe, rise * 0.8, width * 0.8, 0.8))
    return layers, np.array([line[2], line[len(line) // 2], line[-4]])


def _pads(rng: np.random.Generator, centre: Points, spread: float, count: int) -> list[Layer]:
    """Fat: overlapping soft lumps."""
    layers = []
    for _ in range(count):
        size = rng.uniform(0.06, 0.28)
        place = centre + rng.normal(0, spread, 2)
        outline = blob(rng, tuple(place), (size * rng.uniform(0.8, 2.2), size), rng.normal(0, 0.5), 0.14)
        layers.append(Layer(FAT, outline, size * rng.uniform(0.2, 0.5), size * 0.6, 0.5, soft=rng.uniform(0.004, 0.03)))
    return layers


def _bowel(rng: np.random.Generator) -> list[Layer]:
    """Loops of gut across the lower half."""
    layers = []
    for _ in range(rng.integers(1, 5)):
        width = rng.uniform(0.06, 0.2)
        x, y = rng.uniform(-1.0, 1.0), rng.uniform(0.15, 0.65)
        steps = np.stack([rng.uniform(0.2, 0.45, 4) * rng.choice([-1.0, 1.0]), rng.normal(0, 0.09, 4)], axis=1)
        knots = np.array([x, y]) + np.cumsum(steps, axis=0)
        line = curve(knots)
        pouches = 1 + rng.uniform(0, 0.14) * np.abs(np.sin(np.linspace(0, rng.uniform(4, 12), len(line))))
        layers.append(
            Layer(BOWEL, tube(line, width * pouches * capped(len(line), 0.12, 0.12)), width * 0.9, width, 0.4)
        )
    return layers


def _lobe(rng: np.random.Generator, centre: tuple[float, float]) -> Layer:
    size = rng.uniform(0.35, 0.9)
    outline = blob(
        rng, centre, (size * rng.uniform(0.8, 1.5), size * rng.uniform(0.6, 1.0)), rng.uniform(0, np.pi), 0.07
    )
    return Layer(LIVER, outline, rng.uniform(0.05, 0.3), rng.uniform(0.06, 0.4), 1.0)


def _band(rng: np.random.Generator) -> Layer:
    start = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.8, -0.3)])
    knots = start + np.cumsum(rng.normal(0, 0.08, (4, 2)) + np.array([0.0, rng.uniform(0.1, 0.28)]), axis=0)
    line = curve(knots)
    radius = rng.uniform(0.02, 0.12) * np.linspace(1.4, rng.uniform(0.2, 1.0), len(line))
    outline = tube(line, radius * capped(len(line), 0.1, 0.1))
    return Layer(FAT, outline, 0.03, 0.03, 0.6, soft=0.006, material=LIGAMENT)


def _backdrop(label: int) -> Layer:
    return Layer(label, np.array([[-3.0, -3], [3, -3], [3, 3], [-3, 3]]), 0.0, 0.01, 0.3)


def arrange(rng: np.random.Generator, gallbladder: bool | None = None) -> tuple[list[Layer], Points]:
    """The organs of one procedure, back to front, and the gallbladder's fundus, body and neck (empty if it has none).

    ``gallbladder`` asks for one or forbids it; by default most procedures have one.
    """
    has_gallbladder = rng.random() < 0.85 if gallbladder is None else gallbladder
    layers = [_backdrop(LIVER if rng.random() < 0.45 else WALL)]
    if rng.random() < 0.6:
        side = (rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.3), rng.uniform(-0.7, 0.5))
        layers.append(
            Layer(WALL, blob(rng, side, (rng.uniform(0.3, 0.7), rng.uniform(0.5, 1.0)), 0.0, 0.12), 0.1, 0.25, 0.1)
        )
    layers += [_lobe(rng, (rng.uniform(-0.9, 0.9), rng.uniform(-0.8, 0.4))) for _ in range(rng.integers(1, 4))]
    if rng.random() < 0.5:
        layers += _bowel(rng)
    if rng.random() < 0.35:
        layers.append(_band(rng))
    layers += _pads(rng, np.array([rng.normal(0, 0.3), rng.uniform(0.2, 0.6)]), 0.22, int(rng.integers(0, 5)))
    grips = np.empty((0, 2))
    if has_gallbladder:
        body, grips = _gallbladder(rng)
        neck = _pads(rng, grips[2], 0.08, int(rng.integers(0, 4)))
        layers += neck + body if rng.random() < 0.5 else body + neck
    if rng.random() < 0.5:  # a lobe close to the lens
        close = _lobe(rng, (rng.choice([-1.0, 1.0]) * rng.uniform(0.6, 1.2), rng.uniform(-0.7, 0.5)))
        close.rise += rng.uniform(0.0, 0.25)
        layers.append(close)
    roll, mirror, zoom = rng.normal(0, 0.5), rng.choice([-1.0, 1.0]), rng.uniform(0.8, 1.6)
    for layer in layers:
        layer.outline = turn(layer.outline * (mirror, 1.0), roll) * zoom
        layer.rise, layer.edge = layer.rise * zoom, layer.edge * zoom
        layer.vessels = _vessels(rng, layer.outline, (layer.material or MATERIALS[layer.label]).vessels)
    return layers, turn(grips * (mirror, 1.0), roll) * zoom
