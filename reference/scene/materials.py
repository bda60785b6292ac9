"""What tissues look like: ranges from which each procedure draws its own.

Colour alone tells no class from its neighbours, here as in reality: fat is lobed, bowel has folds and vessels across it,
muscle has fibres, liver has pores, a gallbladder is smooth. A class without a look of its own could not be learned.
"""

from dataclasses import dataclass

from reference.scene.classes import BOWEL, FAT, GALLBLADDER, LIVER, WALL

Colour = tuple[float, float, float]
Range = tuple[float, float]
RED: tuple[Colour, ...] = ((0.72, 0.25, 0.25), (0.55, 0.18, 0.3), (0.45, 0.35, 0.5), (0.8, 0.35, 0.3))


@dataclass(frozen=True)
class Material:
    """Ranges from which a procedure draws the look of one kind of tissue. Colours are RGB 0..1 under full light."""

    low: Colour
    high: Colour
    tint: tuple[Colour, ...]  # a second colour mixed in by patches
    mottle: Range  # strength of fine colour noise
    bumps: Range  # height of pillow-like lobes
    lobules: Range  # height of small lobes on them, and how dark it is between them
    pores: Range  # height of fine granulation: breaks highlights into sparkles
    gloss: Range
    streaks: Range  # strength of stripes: fibres
    vessels: int
    inks: tuple[Colour, ...] = RED


MATERIALS = {
    LIVER: Material(
        low=(0.32, 0.09, 0.08),
        high=(0.64, 0.29, 0.24),
        tint=((0.62, 0.28, 0.3), (0.3, 0.09, 0.12), (0.54, 0.28, 0.2), (0.7, 0.42, 0.4)),
        mottle=(0.02, 0.1),
        bumps=(0.0, 0.004),
        lobules=(0.0, 0.0),
        pores=(0.1, 1.0),
        gloss=(0.5, 1.0),
        streaks=(0.0, 0.3),
        vessels=2,
        inks=((0.72, 0.45, 0.42), (0.3, 0.06, 0.08), (0.6, 0.25, 0.25)),
    ),
    GALLBLADDER: Material(
        low=(0.62, 0.5, 0.3),
        high=(0.98, 0.86, 0.66),
        tint=(
            (0.8, 0.7, 0.66),
            (0.62, 0.7, 0.58),
            (0.9, 0.72, 0.5),
            (0.98, 0.8, 0.44),
            (0.92, 0.72, 0.36),
            (0.5, 0.58, 0.5),
            (0.56, 0.6, 0.64),
            (0.8, 0.46, 0.4),
        ),
        mottle=(0.0, 0.03),
        bumps=(0.0, 0.002),
        lobules=(0.0, 0.0),
        pores=(0.0, 0.1),
        gloss=(0.6, 1.0),
        streaks=(0.0, 0.1),
        vessels=12,
    ),
    FAT: Material(
        low=(0.74, 0.54, 0.2),
        high=(1.0, 0.84, 0.5),
        tint=((0.9, 0.54, 0.3), (0.98, 0.8, 0.4), (0.86, 0.54, 0.36), (0.96, 0.86, 0.7)),
        mottle=(0.0, 0.05),
        bumps=(0.003, 0.014),
        lobules=(0.0025, 0.006),
        pores=(0.0, 0.2),
        gloss=(0.3, 0.9),
        streaks=(0.0, 0.2),
        vessels=6,
    ),
    BOWEL: Material(
        low=(0.78, 0.46, 0.4),
        high=(0.98, 0.74, 0.66),
        tint=((0.9, 0.5, 0.48), (0.94, 0.68, 0.58), (0.78, 0.4, 0.4), (0.9, 0.7, 0.66)),
        mottle=(0.0, 0.03),
        bumps=(0.0, 0.004),
        lobules=(0.0, 0.0),
        pores=(0.0, 0.1),
        gloss=(0.5, 1.0),
        streaks=(0.0, 0.1),
        vessels=4,
    ),
    WALL: Material(
        low=(0.6, 0.27, 0.18),
        high=(0.92, 0.54, 0.38),
        tint=((0.92, 0.62, 0.34), (0.8, 0.32, 0.28), (0.94, 0.74, 0.6), (0.6, 0.22, 0.2)),
        mottle=(0.02, 0.08),
        bumps=(0.0, 0.006),
        lobules=(0.0, 0.0),
        pores=(0.0, 0.2),
        gloss=(0.1, 0.5),
        streaks=(0.5, 1.2),
        vessels=6,
    ),
}
LIGAMENT = Material(
    low=(0.84, 0.66, 0.6),
    high=(0.98, 0.88, 0.82),
    tint=((0.9, 0.6, 0.58), (0.96, 0.82, 0.66)),
    mottle=(0.0, 0.05),
    bumps=(0.004, 0.012),
    lobules=(0.0, 0.002),
    pores=(0.0, 0.2),
    gloss=(0.4, 0.9),
    streaks=(0.4, 1.2),
    vessels=3,
)
