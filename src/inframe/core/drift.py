"""The device file's section `monitor:`."""

from pydantic import Field

from inframe.core.part import Name, Part


class MonitorConfig(Part):
    """Statistics of what the device sees and says, a summary for each procedure, and charts against the bundles' references."""

    folder: str = Field("out/monitor", description="where they are kept")
    site: str = Field("", max_length=64, description="procedures of another site are counted apart")
    modality: str = Field(
        "", max_length=64, description="the same of another modality; a reference of another one is not used"
    )
    run_length: float = Field(
        500,
        ge=50,
        le=100_000,
        description="in control, one false alarm in so many procedures on average, all charts together",
    )
    least_s: float = Field(60, ge=0.5, le=3600, description="a shorter procedure is not counted")
    phase: Name | None = Field(
        None, description="a classification model whose best label is the phase; null: phases are not told apart"
    )
    export_least: int = Field(20, ge=2, le=100_000, description="fewer procedures than so many do not leave the device")
