"""What a device file says of updates: where releases come from, what they must pass here, and how one comes to be shown."""

from typing import Annotated, Literal

from pydantic import Field

from inframe.core.part import REPOSITORY, WINDOW, Name, Part, TrailCounter


class TrialConfig(Part):
    """When a release is shown on trial, and what ends it. Any violation of `candidate.health` ends it at once."""

    procedures: int = Field(10, ge=1, le=10_000, description="so many procedures on trial: then `confirm` decides")
    hours: float = Field(336, gt=0, le=8784, description="not confirmed after so long: rolled back")
    confirm: Literal["person", "device"] = Field(
        "person",
        description="person: `inframe update commit` within `procedures`, or it is rolled back; device: committed by itself "
        "after `procedures` without a violation",
    )
    consent: bool = Field(False, description="a trial begins by `inframe update trial` only, never by itself")
    during_procedure: bool = Field(
        False, description="a trial may begin while a procedure runs; else with the next start of the device"
    )
    window: Annotated[str, Field(pattern=WINDOW)] | None = Field(
        None, description="checkpoints are run and trials begin in these hours only, HH:MM-HH:MM of local time"
    )


class UpdateConfig(Part):
    """Where releases of signed models come from, what they must pass on this device, and how one comes to be shown."""

    folder: str = Field("out/update", description="where slots and downloads are kept")
    repository: str = Field(
        pattern=REPOSITORY, description="the folder that holds metadata/ and targets/, on a web server or a stick"
    )
    root: str = Field(description="file of the root metadata that this device begins with (1.root.json)")
    bundles: tuple[Name, ...] = Field(min_length=1, description="the bundles that a release may have")
    cases: str | None = Field(None, description="folder of the locked cases; null: there are none on this device")
    acceptance: Literal["here", "signers"] = Field(
        "here",
        description="here: a release must reach its criteria on the locked cases in `cases`; signers: whoever signs it has seen "
        "to that, and this device does not",
    )
    plans: tuple[str, ...] = Field(
        (),
        description="files of change control plans (see `inframe pccp check`): a release that changes anything else is refused",
    )
    evidence: str | None = Field(
        None, description="folder of what shows that a plan's demands are met: DIGEST.result.json and DIGEST.lock.json"
    )
    shadow: bool = Field(True, description="a release runs unseen beside the active one before its trial")
    trial: TrialConfig = TrialConfig()
    counter: TrailCounter | None = Field(
        None,
        description="a TPM's counter, without which the rollback floor holds only while nobody puts an older disk back",
    )
    least_bytes_s: int = Field(1000, ge=1, description="a download that is slower, over 10 s, is given up and resumed")
