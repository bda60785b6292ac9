"""The console in a device file: where its page is, who may log in, and what makes it fit to leave this machine."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inframe.core.part import Part

LOOPBACK = "127.0.0.1"
DEMO = "INFRAME_DEMO"
"""Set to 1 by `inframe demo` for its processes: the page then has buttons that break things. Only the demo's parent obeys them."""


class Tls(Part):
    """What a browser knows the device by."""

    certificate: str = Field(description="PEM file: the certificate, and those between it and the browser's root")
    key: str = Field(description="PEM file: its private key, without a password")


class WebScreen(Part):
    """The console: a page with the live picture, on the loopback address unless it has `tls`."""

    kind: Literal["web"]
    port: int = Field(8555, ge=0, le=65535, description="0: any free port, printed at the start")
    users: str | None = Field(
        None,
        description="file made by `inframe console user`: who may log in; null: whoever sits at this machine is an operator",
    )
    address: str = Field(LOOPBACK, description="where it listens; other than loopback only with `tls` and `users`")
    names: tuple[Annotated[str, Field(min_length=1, max_length=253)], ...] = Field(
        (), description="host names by which browsers reach it, besides `address`"
    )
    tls: Tls | None = None

    @model_validator(mode="after")
    def _only_here_without_tls(self) -> Self:
        try:
            here = ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            raise ValueError(f"address: found {self.address!r}, expected an IP address such as 127.0.0.1") from None
        if not here and (self.tls is None or self.users is None):
            raise ValueError(f"address: found {self.address} without tls and users, expected both, or {LOOPBACK}")
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.address).is_loopback

    def files(self) -> dict[str, str]:
        """The files that it names, by key."""
        tls = {} if self.tls is None else {"tls.certificate": self.tls.certificate, "tls.key": self.tls.key}
        return tls | ({} if self.users is None else {"users": self.users})

    def placed(self, base: Path) -> "WebScreen":
        """With the names of its files made absolute against `base`."""
        users = str(base / self.users) if self.users is not None else None
        tls = self.tls
        if tls is not None:
            tls = Tls(certificate=str(base / tls.certificate), key=str(base / tls.key))
        return self.model_copy(update={"users": users, "tls": tls})

    def origins(self, port: int) -> tuple[str, ...]:
        """What a browser that has the page open says of where it came from, e.g. http://127.0.0.1:8555."""
        scheme, usual = ("https", 443) if self.tls is not None else ("http", 80)
        hosts = [f"[{self.address}]" if ":" in self.address else self.address, *self.names]
        hosts += ["localhost"] if self.is_local else []
        return tuple(f"{scheme}://{host}" + ("" if port == usual else f":{port}") for host in hosts)
