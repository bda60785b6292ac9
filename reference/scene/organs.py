"""How organs are arranged in one procedure, back to front."""

from dataclasses import dataclass, field

import numpy as np

from reference.scene.classes import BOWEL, FAT, GALLBLADDER, LIVER, WALL
from reference.scene.materials import LIGAMENT, MATERIALS, Material
from reference.scene.shapes import Points, blob, branches, capped, curve, rungs, tube, turn


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
    folds: list[Points] = field(default_factory=list)  # lines
    crease: float = 0.02  # the width of a fold
    fold: float = 0.0  # how far a fold sinks in, in widths; negative: stands out
    opacity: float = 1.0

    def place(self, mirror: float, roll: float, zoom: float) -> None:
        """Move the organ with all the scene."""

        def placed(points: Points) -> Points:
            return turn(points * (mirror, 1.0), roll) * zoom

        self.outline = placed(self.outline)
        self.vessels = [[placed(line) for line in tree] for tree in self.vessels]
        self.folds = [placed(line) for line in self.folds]
        self.rise, self.edge, self.crease = self.rise * zoom, self.edge * zoom, self.crease * zoom


def _vessels(rng: np.random.Generator, outline: Points, count: int) -> list[list[Points]]:
    """Trees that start inside an outline and in sight, near the line from its edge to its middle."""
    trees = []
    middle, size = outline.mean(axis=0), float(np.ptp(outline, axis=0).min())
    for _ in range(rng.integers(0, count + 1)):
        start = middle + (outline[rng.integers(len(outline))] - middle) * rng.uniform(0.1, 0.95)
        if size > 2:  # a backdrop
            start = rng.uniform((-1.0, -0.6), (1.0, 0.6))
        length = rng.uniform(0.25, 0.8) * min(size, 0.6)
        trees.append(branches(rng, start, rng.uniform(0, 2 * np.pi), length, int(rng.integers(1, 3))))
    return trees


def _gallbladder(rng: np.random.Generator) -> tuple[list[Layer], Points]:
    """A pear from fundus to neck, at times folded over; and its fundus, where a grasper takes it."""
    length, width = rng.uniform(0.4, 1.0), rng.uniform(0.08, 0.18)
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
        radii = (width * rng.uniform(0.6, 0.9), length * rng.uniform(0.18, 0.3))
        lobe = blob(rng, tuple(place), radii, angle + rng.normal(0, 0.2), 0.04)
        layers.insert(int(rng.integers(2)), Layer(GALLBLADDER, lobe, rise * 0.8, width * 0.8, 0.8))
    return layers, np.array([line[2], line[len(line) // 2], line[-4]])


def _pads(rng: np.random.Generator, centre: Points, spread: float, count: int) -> list[Layer]:
    """Fat: overlapping soft lumps."""
    layers = []
    for _ in range(count):
        size = rng.uniform(0.06, 0.28)
        place = centre + rng.normal(0, spread, 2)
        outline = blob(rng, tuple(place), (size * rng.uniform(0.8, 2.2), size), rng.normal(0, 0.5), 0.14)
        pad = Layer(FAT, outline, size * rng.uniform(0.2, 0.5), size * 0.6, 0.5, soft=rng.uniform(0.004, 0.03))
        if rng.random() < 0.4:  # wrinkled
            wrinkles = range(rng.integers(2, 6))
            pad.folds = [curve(place + np.cumsum(rng.normal(0, 0.4 * size, (4, 2)), axis=0)) for _ in wrinkles]
            pad.crease, pad.fold = rng.uniform(0.012, 0.03), rng.uniform(0.3, 0.8)
        layers.append(pad)
    return layers


def _omentum(rng: np.random.Generator) -> Layer:
    """A broad apron of fat with vessels of its own."""
    place = (rng.uniform(-0.6, 0.6), rng.uniform(0.3, 0.6))
    outline = blob(rng, place, (rng.uniform(0.5, 1.0), rng.uniform(0.25, 0.5)), rng.normal(0, 0.3), 0.12)
    return Layer(FAT, outline, rng.uniform(0.05, 0.15), 0.2, 0.4, soft=rng.uniform(0.004, 0.02))


def _across(rng: np.random.Generator, line: Points, radius: Points, count: int) -> list[list[Points]]:
    """Vessels that reach over a tube from its edges, as those of bowel do."""
    along = np.gradient(line, axis=0)
    trees = []
    for at in rng.integers(3, len(line) - 3, count):
        side = rng.choice([-1.0, 1.0])
        heading = np.arctan2(along[at, 1], along[at, 0]) + side * np.pi / 2
        start = line[at] - 0.95 * radius[at] * np.array([np.cos(heading), np.sin(heading)])
        trees.append(branches(rng, start, heading, radius[at] * rng.uniform(0.7, 1.6), 1))
    return trees


def _loop(rng: np.random.Generator, start: Points, colon: bool) -> Layer:
    """A loop of small bowel: slender, faint rings; or of colon: wide, pouched between deep folds."""
    width = rng.uniform(0.11, 0.2) if colon else rng.uniform(0.06, 0.13)
    way = rng.choice([-1.0, 1.0])
    steps = np.stack([rng.uniform(0.2, 0.45, 5) * way, rng.normal(0, 0.06 if colon else 0.12, 5)], axis=1)
    line = curve(start + np.cumsum(steps, axis=0), 80)
    length = float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
    rings = max(3, round(length / (width * (rng.uniform(0.8, 1.3) if colon else rng.uniform(0.5, 0.9)))))
    s = np.linspace(0, 1, len(line))
    pouch = rng.uniform(0.1, 0.25) if colon else rng.uniform(0.0, 0.04)
    radius = width * (1 - pouch + pouch * np.abs(np.sin(np.pi * rings * s))) * capped(len(line), 0.08, 0.08)
    layer = Layer(BOWEL, tube(line, radius), width * rng.uniform(0.7, 1.0), width, 0.4)
    layer.vessels = _across(rng, line, radius, int(rng.integers(6, 24)))
    layer.folds = rungs(rng, line, radius, rings)
    layer.crease, layer.fold = (
        width * rng.uniform(0.15, 0.3),
        rng.uniform(0.4, 0.9) if colon else rng.uniform(0.15, 0.4),
    )
    return layer


def _stomach(rng: np.random.Generator, start: Points) -> Layer:
    """A large smooth body, vessels running onto it from its edge."""
    size = rng.uniform(0.22, 0.45)
    outline = blob(rng, tuple(start), (size * rng.uniform(1.2, 2.0), size), rng.normal(0, 0.4), 0.06)
    layer = Layer(BOWEL, outline, rng.uniform(0.1, 0.25), 0.8 * size, 0.4)
    for point in outline[rng.integers(0, len(outline), rng.integers(4, 12))]:
        inward = start - point
        layer.vessels.append(branches(rng, point, float(np.arctan2(inward[1], inward[0])), rng.uniform(0.1, 0.35), 2))
    return layer


def _bowel(rng: np.random.Generator, count: int, top: float) -> list[Layer]:
    """Bowel below ``top``: loops side by side, at times stomach."""
    layers: list[Layer] = []
    colon = rng.random() < 0.4
    place = np.array([rng.uniform(-1.0, 0.6), rng.uniform(top, top + 0.3)])
    for _ in range(count):
        if rng.random() < 0.25:
            layers.append(_stomach(rng, np.array([rng.uniform(-0.7, 0.7), place[1]])))
        else:
            layers.append(_loop(rng, place, colon))
        place = np.array([rng.uniform(-1.1, 0.6), place[1] + rng.uniform(0.08, 0.28)])
    return layers


def _lobe(rng: np.random.Generator, centre: tuple[float, float]) -> Layer:
    size = rng.uniform(0.35, 0.9)
    outline = blob(
        rng, centre, (size * rng.uniform(0.8, 1.5), size * rng.uniform(0.6, 1.0)), rng.uniform(0, np.pi), 0.07
    )
    return Layer(LIVER, outline, rng.uniform(0.05, 0.3), rng.uniform(0.06, 0.4), 1.0)


def _band(rng: np.random.Generator) -> Layer:
    """A ligament across the upper part."""
    start = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.8, -0.3)])
    knots = start + np.cumsum(rng.normal(0, 0.08, (4, 2)) + np.array([0.0, rng.uniform(0.1, 0.28)]), axis=0)
    line = curve(knots)
    radius = rng.uniform(0.02, 0.12) * np.linspace(1.4, rng.uniform(0.2, 1.0), len(line))
    outline = tube(line, radius * capped(len(line), 0.1, 0.1))
    return Layer(FAT, outline, 0.03, 0.03, 0.6, soft=0.006, material=LIGAMENT)


def _strands(rng: np.random.Generator, neck: Points) -> list[Layer]:
    """Connective tissue about the gallbladder's neck: thin strands, and a film over it."""
    layers = []
    for _ in range(rng.integers(1, 5)):
        knots = neck + np.cumsum(rng.normal(0, 0.07, (4, 2)), axis=0)
        line = curve(knots, 24)
        radius = rng.uniform(0.008, 0.04) * capped(len(line), 0.2, 0.2)
        strand = Layer(FAT, tube(line, radius), 0.006, 0.03, 0.7, soft=rng.uniform(0.008, 0.02), material=LIGAMENT)
        strand.opacity = rng.uniform(0.6, 1.0)
        layers.append(strand)
    return layers


def _wall(rng: np.random.Generator, outline: Points, rise: float, edge: float) -> Layer:
    """Abdominal wall: behind everything, with folds of its lining and long vessels."""
    layer = Layer(WALL, outline, rise, edge, 0.15)
    for _ in range(rng.integers(0, 5)):
        start, heading = rng.uniform((-1.0, -0.6), (1.0, 0.6)), rng.uniform(0, 2 * np.pi)
        way = heading + np.cumsum(rng.normal(0, 0.3, 5))
        layer.folds.append(curve(start + np.cumsum(0.3 * np.stack([np.cos(way), np.sin(way)], axis=1), axis=0)))
    layer.crease, layer.fold = rng.uniform(0.02, 0.1), rng.uniform(-0.5, 0.5)
    return layer


def _backdrop(rng: np.random.Generator, label: int) -> Layer:
    square = np.array([[-3.0, -3], [3, -3], [3, 3], [-3, 3]])
    return _wall(rng, square, 0.0, 0.01) if label == WALL else Layer(label, square, 0.0, 0.01, 0.6)


def _upper_abdomen(rng: np.random.Generator, gallbladder: bool) -> tuple[list[Layer], Points]:
    """Liver above, bowel and fat below, most often a gallbladder between them."""
    layers = [_backdrop(rng, LIVER if rng.random() < 0.4 else WALL)]
    if rng.random() < 0.6:
        side = (rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.3), rng.uniform(-0.7, 0.5))
        outline = blob(rng, side, (rng.uniform(0.3, 0.7), rng.uniform(0.5, 1.0)), 0.0, 0.12)
        layers.append(_wall(rng, outline, 0.1, 0.25))
    layers += [_lobe(rng, (rng.uniform(-0.9, 0.9), rng.uniform(-0.8, 0.4))) for _ in range(rng.integers(1, 4))]
    if rng.random() < 0.65:
        layers += _bowel(rng, int(rng.integers(1, 5)), 0.05)
    if rng.random() < 0.3:
        layers.append(_omentum(rng))
    if rng.random() < 0.3:
        layers.append(_band(rng))
    layers += _pads(rng, np.array([rng.normal(0, 0.3), rng.uniform(0.2, 0.6)]), 0.22, int(rng.integers(0, 5)))
    grips = np.empty((0, 2))
    if gallbladder:
        body, grips = _gallbladder(rng)
        neck = _pads(rng, grips[2], 0.08, int(rng.integers(0, 4)))
        layers += neck + body if rng.random() < 0.5 else body + neck
        if rng.random() < 0.4:
            layers += _strands(rng, grips[2])
    if rng.random() < 0.4:  # a lobe close to the lens
        close = _lobe(rng, (rng.choice([-1.0, 1.0]) * rng.uniform(0.7, 1.2), rng.uniform(-0.7, 0.5)))
        close.rise += rng.uniform(0.0, 0.25)
        layers.append(close)
    return layers, grips


def _lower_abdomen(rng: np.random.Generator) -> list[Layer]:
    """Bowel and fat before the abdominal wall, at times an edge of the liver."""
    layers = [_backdrop(rng, WALL)]
    if rng.random() < 0.35:
        layers.append(_lobe(rng, (rng.uniform(-0.9, 0.9), rng.uniform(-0.9, -0.5))))
    layers += _bowel(rng, int(rng.integers(1, 5)), -0.3)
    fat = _pads(rng, np.array([rng.normal(0, 0.4), rng.uniform(-0.2, 0.5)]), 0.3, int(rng.integers(1, 6)))
    if rng.random() < 0.4:
        fat.append(_omentum(rng))
    layers[1:1] = fat[::2]  # some lie behind the bowel
    return layers + fat[1::2]


def arrange(rng: np.random.Generator, gallbladder: bool | None = None) -> tuple[list[Layer], Points]:
    """The organs of one procedure, back to front, and the gallbladder's fundus, body and neck (empty if it has none).

    ``gallbladder`` asks for one or forbids it; by default most procedures have one.
    """
    if gallbladder or (gallbladder is None and rng.random() < 0.66):
        layers, grips = _upper_abdomen(rng, True)
    elif rng.random() < 0.35:
        layers, grips = _upper_abdomen(rng, False)
    else:
        layers, grips = _lower_abdomen(rng), np.empty((0, 2))
    roll, mirror, zoom = rng.normal(0, 0.5), float(rng.choice([-1.0, 1.0])), rng.uniform(0.8, 1.6)
    for layer in layers:
        count = (layer.material or MATERIALS[layer.label]).vessels
        layer.vessels += _vessels(rng, layer.outline, count)
        layer.place(mirror, roll, zoom)
    return layers, turn(grips * (mirror, 1.0), roll) * zoom
