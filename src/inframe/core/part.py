"""What every section of a file that an integrator writes is made of: its base, and the kinds of values in it."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PATTERNS = {
    r"^[a-z][a-z0-9_]{0,31}$": "a name: a-z, 0-9 and _, at most 32, a letter first",
    r"^#[0-9a-fA-F]{6}$": '"#rrggbb"',
    r"^rtsp://[^\s]+$": "rtsp://…",
    r"^[^:]+(\.py)?:[A-Za-z_]\w*$": "file.py:name or package.module:name",
    r"^[0-9a-f]{64}$": "a SHA-256: 64 hexadecimal digits",
    r"^0x01[0-9a-fA-F]{6}$": '"0x01…", eight hexadecimal digits, in quotes',
    r"^(https?|file)://[^\s?#]+$": "https://…, http://… or file:///…",
    r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$": "HH:MM-HH:MM",
    r"^[A-Za-z0-9.:_-]{1,253}$": "a host's name or number",
    r"^https?://[^\s/?#@]+(/[^\s?#]*)?$": "http://HOST:PORT or https://…",
}
"""What each pattern of the schema asks for, as an error says it."""
_NAME, _COLOUR, RTSP, FUNCTION, _SHA256, NV_INDEX, REPOSITORY, WINDOW, HOST, SERVER = PATTERNS

Name = Annotated[str, Field(pattern=_NAME)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Colour = Annotated[str, Field(pattern=_COLOUR)]
PositiveMs = Annotated[float, Field(gt=0, le=60_000)]
Sha256 = Annotated[str, Field(pattern=_SHA256)]
Labels = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
Side = Annotated[int, Field(ge=1, le=8192)]
Core = Annotated[int, Field(ge=0, le=4095)]


class Part(BaseModel):
    """The base of every section: unknown keys are refused, values can't be changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# --- whose signatures count ------------------------------------------------------------------------------------------


class TrustedKey(Part):
    """One public key, and for whom it signs."""

    name: Name
    role: Name = Field(description="for whom it signs, e.g. research or quality; thresholds count by role")
    file: str | None = Field(
        None, description="a PEM file (SubjectPublicKeyInfo); Ed25519, ECDSA P-256 or P-384, ML-DSA"
    )
    key: str | None = Field(None, description="in place of a file: the lines within a PEM file, as one")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.key is None):
            raise ValueError("found both or neither of file and key, expected exactly one")
        return self


class PolicyConfig(Part):
    """Whose signatures make a bundle one that runs."""

    keys: tuple[TrustedKey, ...] = Field(min_length=1)
    thresholds: dict[Name, Annotated[int, Field(ge=1, le=64)]] = Field(
        min_length=1, description="role -> so many of its keys must have signed; all roles named here must be met"
    )


# --- what nobody can turn back ---------------------------------------------------------------------------------------


class TrailCounter(Part):
    """A TPM's counter, which exposes files that were cut or replaced by an older copy of themselves."""

    nv_index: str = Field(pattern=NV_INDEX, description="the NV index of the counter, made beforehand")
    tcti: str = Field("device:/dev/tpmrm0", min_length=1, description="where the TPM is, as tpm2-tools take it")
