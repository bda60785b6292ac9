"""Drift, where the device is monitored: the charts that its monitor keeps, and the procedures that they were made from."""

from pathlib import Path
from typing import Any

from inframe.console.desk import Desk
from inframe.console.refused import Refused
from inframe.console.route import VIEWER, Asked, Route
from inframe.core.config import Device
from inframe.core.errors import DeviceFault

NEWEST = 100
"""So many procedures are drawn."""


async def _drift(desk: Desk, _asked: Asked) -> Any:
    """The monitor's charts: each signal's distance from the locked reference, its newest procedures, the alarms."""
    return await desk.apart(lambda: drift(desk.device))


ROUTES = (Route("GET", "/api/drift", VIEWER, _drift),)


def drift(device: Device) -> dict[str, Any]:
    """What the monitor has kept on the disk; half a minute old at most. Raises Refused."""
    from inframe.monitored import kept_in, stratum_told

    if device.monitor is None:
        return {"is_monitored": False, "strata": []}
    try:
        contents = kept_in(Path(device.monitor.folder))
    except (DeviceFault, OSError) as error:
        raise Refused(503, str(error)) from None
    return {"is_monitored": True, "strata": [{**stratum_told(one), "recent": _recent(one)} for one in contents]}


def _recent(content: dict[str, Any]) -> dict[str, list[float | None]]:
    """The newest procedures' means of each charted signal, oldest first."""
    charted = {name for one in content["charts"].values() for name in one["signals"]}
    at = {name: i for i, name in enumerate(content["names"]) if name in charted or not charted}
    return {name: [row[i] for row in content["recent"][-NEWEST:]] for name, i in at.items()}
