"""The base of every section of a device file, and the plain values that several of them use."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """The base of every section: unknown keys are refused, values can't be changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
