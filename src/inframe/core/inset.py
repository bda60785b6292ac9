"""A second image stream in the displayed picture: in a rectangle, or laid over what it shows."""

from collections.abc import Collection, Mapping
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from inframe.core.part import Fraction, Name, Part, PositiveMs

LEAST = 0.02
"""No side of a rectangle is a smaller share of the picture."""


class Inset(Part):
    """Either `at`, a picture in the picture, or `transform`, a registered one. It is drawn with the overlay, over the results."""

    stream: Name
    at: tuple[Fraction, Fraction, Fraction, Fraction] | None = Field(
        None, description="left, top, width, height as shares of the displayed picture; the aspect is kept"
    )
    transform: tuple[float, float, float, float, float, float, float, float, float] | None = Field(
        None, description="a homography, row by row: from its pixels to those of the displayed stream"
    )
    error_px: float | None = Field(
        None, ge=0, description="transform: the registration's error, RMS; it is on the screen"
    )
    opacity: Fraction = Field(1.0, description="transform: how much of it is seen, the rest is what lies under it")
    max_age_ms: PositiveMs = Field(description="an older picture is not drawn, and the screen says so")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.at is None) == (self.transform is None):
            raise ValueError("found both or neither of at and transform, expected exactly one")
        if (self.transform is None) != (self.error_px is None):
            raise ValueError("error_px: found it without transform or the other way round, expected both or neither")
        if self.at is not None:
            x, y, width, height = self.at
            if min(width, height) < LEAST or x + width > 1 or y + height > 1:
                raise ValueError(
                    f"at: found {list(self.at)}, expected a rectangle within the picture, 0.02 wide and high or more"
                )
        if self.transform is not None and abs(np.linalg.det(np.array(self.transform).reshape(3, 3))) < 1e-12:
            raise ValueError("transform: found a matrix that can't be inverted, expected a homography")
        return self


def check_insets(insets: Mapping[str, Inset], streams: Collection[str], display: str) -> None:
    """That each has a stream of its own. Raises ValueError."""
    for name, inset in insets.items():
        if inset.stream not in streams or inset.stream == display:
            others = ", ".join(one for one in streams if one != display)
            raise ValueError(
                f"overlay.insets.{name}.stream: found {inset.stream!r}, expected another stream than the displayed one: "
                f"{others or 'there is none'}"
            )
