"""A TPM's NV counter, by way of the distribution's `tpm2-tools`: the trail's monotonic counter (trail/counter.py).

TPM 2.0 Library, part 1, NV counter index: it can only be incremented; one that is deleted and made anew begins
behind the highest value that any counter of that TPM ever had. It is made once, at the commissioning (docs/trail.md).

A call takes some 30 ms, of which a discrete TPM needs most for an increment: never on the frame path.
"""

import subprocess

from inframe.core.errors import DeviceFault, one_line
from inframe.core.part import TrailCounter

TIMEOUT_S = 10.0


class TpmCounter:
    """Reads and increments one NV index. Both raise DeviceFault: no tool, no TPM, no such counter, no answer in time."""

    def __init__(self, config: TrailCounter) -> None:
        self._config = config

    def read(self) -> int:
        """The present value."""
        raw = self._call("tpm2_nvread", "--size=8")
        if len(raw) != 8:
            raise DeviceFault(f"{self._config.nv_index}: found {len(raw)} bytes, expected a counter of 8")
        return int.from_bytes(raw, "big")

    def increment(self) -> int:
        """Add one: durable when this returns. The new value."""
        self._call("tpm2_nvincrement")
        return self.read()

    def _call(self, tool: str, *options: str) -> bytes:
        index = self._config.nv_index
        command = [tool, f"--tcti={self._config.tcti}", f"--hierarchy={index}", *options, index]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False
            )
        except FileNotFoundError:
            raise DeviceFault(f"{tool}: no such program; expected the package tpm2-tools") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeviceFault(f"{tool}: {one_line(error)}") from error
        if done.returncode:
            raise DeviceFault(f"{tool} {index}: {_reason(done.stderr.decode(errors='replace'))}")
        return done.stdout


def _reason(told: str) -> str:
    """The first line that is the tool's own: its libraries have theirs before it, and the last says only that it failed."""
    mark = "ERROR: "
    return one_line(next((line.removeprefix(mark) for line in told.splitlines() if line.startswith(mark)), "failed"))


def counter_of(config: TrailCounter | None) -> TpmCounter | None:
    """The counter that a device file names, if it does."""
    return TpmCounter(config) if config is not None else None
