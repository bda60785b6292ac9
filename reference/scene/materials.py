"""What tissues look like: ranges from which each procedure draws its own."""

from dataclasses import dataclass

from reference.scene.classes import BOWEL, FAT, GALLBLADDER, LIVER, WALL

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """Ranges from which a procedure draws the look of one kind of tissue. Colours are RGB 0..1 under full light."""

    low: Colour
    high: Colour
    tint: tuple[Colour, ...]  # a second colour mixed in by patches
    mottle: tuple[float, float]  # strength of fine colour noise
    bumps: tuple[float, float]  # height of pillow-like lobes
    pores: tuple[float, float]  # height of fine granulation: breaks highlights into sparkles
    gloss: tuple[float, float]
    streaks: tuple[float, float]  # strength of stripes: fibres, folds
    vessels: int


MATERIALS = {
    LIVER: Material(
        low=(0.34, 0.09, 0.09),
        high=(0.66, 0.3, 0.26),
        tint=((0.62, 0.28, 0.3), (0.3, 0.09, 0.12), (0.54, 0.28, 0.2), (0.74, 0.44, 0.44)),
        mottle=(0.03, 0.12),
        bumps=(0.0, 0.005),
        pores=(0.1, 1.0),
        gloss=(0.5, 1.0),
        streaks=(0.0, 0.8),
        vessels=3,
    ),
    GALLBLADDER: Material(
        low=(0.7, 0.58, 0.4),
        high=(0.98, 0.86, 0.7),
        tint=(
            (0.8, 0.66, 0.68),
            (0.66, 0.7, 0.58),
            (0.88, 0.62, 0.5),
            (0.98, 0.8, 0.52),
            (0.55, 0.6, 0.52),
            (0.78, 0.42, 0.4),
        ),
        mottle=(0.02, 0.08),
        bumps=(0.0, 0.003),
        pores=(0.0, 0.25),
        gloss=(0.6, 1.0),
        streaks=(0.0, 0.1),
        vessels=12,
    ),
    FAT: Material(
        low=(0.78, 0.56, 0.22),
        high=(1.0, 0.84, 0.52),
        tint=((0.9, 0.54, 0.36), (0.98, 0.8, 0.4), (0.84, 0.46, 0.38), (0.96, 0.86, 0.74)),
        mottle=(0.03, 0.1),
        bumps=(0.0, 0.014),
        pores=(0.0, 0.35),
        gloss=(0.3, 0.9),
        streaks=(0.0, 0.3),
        vessels=8,
    ),
    BOWEL: Material(
        low=(0.8, 0.5, 0.42),
        high=(0.98, 0.74, 0.64),
        tint=((0.9, 0.56, 0.52), (0.94, 0.7, 0.56), (0.76, 0.4, 0.38)),
        mottle=(0.02, 0.07),
        bumps=(0.0, 0.015),
        pores=(0.0, 0.2),
        gloss=(0.4, 1.0),
        streaks=(0.0, 0.2),
        vessels=9,
    ),
    WALL: Material(
        low=(0.68, 0.34, 0.26),
        high=(0.96, 0.6, 0.46),
        tint=((0.92, 0.58, 0.3), (0.84, 0.36, 0.34), (0.94, 0.7, 0.56), (0.62, 0.24, 0.24)),
        mottle=(0.03, 0.1),
        bumps=(0.0, 0.012),
        pores=(0.0, 0.3),
        gloss=(0.2, 0.7),
        streaks=(0.0, 0.6),
        vessels=10,
    ),
}
LIGAMENT = Material(
    low=(0.84, 0.66, 0.6),
    high=(0.98, 0.88, 0.82),
    tint=((0.9, 0.6, 0.58), (0.96, 0.82, 0.66)),
    mottle=(0.02, 0.06),
    bumps=(0.004, 0.012),
    pores=(0.0, 0.2),
    gloss=(0.4, 0.9),
    streaks=(0.2, 1.0),
    vessels=3,
)
