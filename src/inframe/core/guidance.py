"""Guidance in the device file: a camera's calibration, and tools whose pose a sensor knows."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from inframe.core.part import Name, Part

Mm = Annotated[float, Field(ge=-1e5, le=1e5)]


class Camera(Part):
    """A calibrated camera: the pinhole model with Brown's distortion, as OpenCV has it and `inframe calibrate` writes it."""

    fx: float = Field(gt=0, description="focal length in pixels of the stream's declared size")
    fy: float = Field(gt=0)
    cx: float = Field(description="where the axis meets the picture, pixels")
    cy: float
    distortion: tuple[float, float, float, float, float] = Field((0, 0, 0, 0, 0), description="k1 k2 p1 p2 k3")
    error_px: float = Field(ge=0, description="the reprojection error that the calibration ended with, RMS, pixels")


class Tool(Part):
    """A tool whose pose a sensor knows: where its tip is in the displayed picture."""

    sensor: Name
    position: tuple[Name, Name, Name] = Field(
        ("x", "y", "z"), description="the channels that are its position, in m or mm"
    )
    tip_mm: tuple[Mm, Mm, Mm] = Field(
        (0, 0, 0), description="the tip in the tool's own axes; needs the sensor's `rotation`"
    )
    camera: Camera
    carrier: Name | None = Field(
        None,
        description="a sensor with the pose, in the same axes, of the arm that moves the camera: then `rotation` and "
        "`translation_mm` are from that arm's own axes to the camera's (hand-eye)",
    )
    rotation: tuple[float, float, float, float] = Field(
        (0, 0, 0, 1), description="from the sensor's axes to the camera's: a unit quaternion, x y z w"
    )
    translation_mm: tuple[Mm, Mm, Mm] = Field(
        (0, 0, 0), description="where the sensor's origin is in the camera's axes"
    )
    error_mm: float = Field(0, ge=0, description="how far off all this may put the tip, across the line of sight")

    @model_validator(mode="after")
    def _unit(self) -> Self:
        length = sum(q * q for q in self.rotation)
        if abs(length - 1) > 1e-3:
            raise ValueError(f"rotation: found a quaternion of length {length**0.5:.4g}, expected 1")
        return self


UNITS_MM = {"m": 1000.0, "mm": 1.0}
