"""The device file's section `assistant:`."""

from collections.abc import Collection
from urllib.parse import urlsplit

from pydantic import Field

from inframe.core.part import SERVER, Name, Part

REFERENCE = "reference"
"""The model that comes along."""


class ServerConfig(Part):
    """A server inside the hospital that runs a larger model."""

    url: str = Field(pattern=SERVER, description="of its OpenAI-compatible API")
    model: str = Field("default", min_length=1, max_length=200, description="the name that it knows the model by")
    address: str | None = Field(None, description="where to connect instead of asking for the name's address")

    @property
    def port(self) -> int:
        """Where it listens. Raises ValueError for one that can't be."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)


class AssistantConfig(Part):
    """Drafts and answers from this procedure's record, served on a socket; with a language model in its box, where one is named."""

    model: str | None = Field(
        "reference",
        description="`reference`, or a file of `inframe assistant pack`, signed as `policy` asks; null: the template writes",
    )
    server: ServerConfig | None = Field(
        None,
        description="asked first; when it fails, `model` writes, then the template. The procedure's facts go there",
    )
    socket: str = Field("out/assistant", description="where this device's own software asks; an OpenAI-compatible API")
    critical: tuple[Name, ...] = Field(
        (), description="rules: while one of their findings is present the model stands still"
    )
    context: int | None = Field(
        None, ge=64, le=1 << 17, description="tokens that the model may hold; null: as the packed model says"
    )
    memory_mb: int = Field(512, ge=128, le=1 << 20, description="what the model may use beyond its libraries")


def check_assistant(config: AssistantConfig | None, rules: Collection[str], *, has_trail: bool) -> None:
    """What it needs of the rest of the file. Raises ValueError."""
    if config is None:
        return
    if not has_trail:
        raise ValueError("assistant: found a device without a trail, expected one: it speaks from nothing else")
    if unknown := [name for name in config.critical if name not in rules]:
        raise ValueError(f"assistant.critical: found {unknown[0]!r}, expected some of rules: {', '.join(rules)}")
