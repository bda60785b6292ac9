"""ACUTE: what is wrong with the picture right now, from blocks of half a second: two in a row raise it, within 1.5 s of its
beginning at the latest. Limits of the camera's own are the reference's: what its half seconds never were."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from inframe.monitor.reference import Reference

BLACK_LUMA, BLACK_VIEW = 8.0, 0.01
STILL = 0.02
"""Grey levels on average: any camera's noise is more."""
RAISED_AFTER, CLEARED_AFTER = 2, 4
"""Blocks in a row."""
MARGIN = 0.25
"""Beyond the reference's outermost half seconds, as a part of the way there from its median."""

Values = Mapping[str, float]
Beyond = Callable[[str, int], bool]
"""Whether a signal lies beyond the reference on one side (-1, +1); never without a reference."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of ACUTE."""

    name: str
    text: str
    holds: Callable[[Values, Beyond], bool]


ACUTE = (
    Row(
        "black",
        "the picture is black",
        lambda v, _: v.get("luma", 255.0) < BLACK_LUMA or v.get("view", 1.0) < BLACK_VIEW,
    ),
    Row("frozen", "the picture does not change", lambda v, _: v.get("change", 255.0) < STILL),
    Row(
        "wrong camera",
        "the view's shape or the colours are of no camera in the reference",
        lambda _, beyond: any(beyond(s, side) for s in ("view", "view_x", "view_y") for side in (-1, 1)) or beyond("blue", 1),
    ),
    Row(
        "out of body",
        "the colours are not those of tissue",
        lambda _, beyond: beyond("red", -1) and beyond("saturation", -1),
    ),
    Row("lens dirty", "less sharp than any half second of the reference", lambda _, beyond: beyond("sharpness", -1)),
)  # fmt: skip


def limits_of(reference: Reference | None) -> dict[str, tuple[float, float]]:
    """By signal the values beyond which a block is unlike the reference."""
    if reference is None:
        return {}
    limits = {}
    for one in reference.file.signals:
        middle = one.quantiles[len(one.quantiles) // 2]
        limits[one.name] = one.low - MARGIN * (middle - one.low), one.high + MARGIN * (one.high - middle)
    return limits


@dataclass
class Acute:
    """Looks at one block after the other."""

    limits: Mapping[str, tuple[float, float]]
    present: dict[str, bool] = field(default_factory=lambda: {row.name: False for row in ACUTE})
    _runs: dict[str, int] = field(default_factory=lambda: {row.name: 0 for row in ACUTE})

    def step(self, values: Values) -> list[str]:
        """The block's means, by signal, those that it has; returns which rows begin with it."""

        def beyond(name: str, side: int) -> bool:
            value, limits = values.get(name), self.limits.get(name)
            if value is None or limits is None:
                return False
            return value > limits[1] if side > 0 else value < limits[0]

        began = []
        for row in ACUTE:
            holds = row.holds(values, beyond)
            self._runs[row.name] = self._runs[row.name] + 1 if holds != self.present[row.name] else 0
            if self._runs[row.name] >= (CLEARED_AFTER if self.present[row.name] else RAISED_AFTER):
                self.present[row.name], self._runs[row.name] = holds, 0
                began += [row.name] if holds else []
        return began
