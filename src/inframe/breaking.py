"""What the demo breaks on purpose when somebody presses its buttons, in the parent: the console can only ask.

A page may ask for no more than is in BREAKS, and only `inframe demo` listens.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

from inframe.core.clock import NS_PER_S
from inframe.core.errors import InframeError, one_line
from inframe.core.health import Phase
from inframe.device import Running

STILL_NS, HOGS_NS, TRIAL_NS = NS_PER_S, 5 * NS_PER_S, 5 * NS_PER_S
HOGS = ("cpu", "cpu", "cpu", "bandwidth")
MOST_AT_ONCE = 20
"""So many wishes of the page are carried out between two looks; the rest are forgotten."""


class Breaking:
    """Call it after each step of the device."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._later: list[tuple[int, Callable[[], None]]] = []
        self._hogs: list[subprocess.Popen[bytes]] = []
        self._swapping = False

    def step(self) -> None:
        """Carry out what was asked for since the last look, and mend what is due."""
        notes = self._running.notes
        wishes = [what for who, kind, what in notes if kind == "demo" and who.startswith("console.")]
        if wishes:
            notes[:] = [note for note in notes if note[1] != "demo"]
        for what in wishes[:MOST_AT_ONCE]:
            if what in BREAKS:
                BREAKS[what](self)
        now = self._running.clock.now()
        due = [mend for at, mend in self._later if at <= now]
        self._later = [(at, mend) for at, mend in self._later if at > now]
        for mend in due:
            mend()
        if self._swapping:
            self._swap_on()

    def close(self) -> None:
        """Leave nothing broken."""
        for _, mend in self._later:
            mend()
        self._later.clear()
        self._unhog()

    def _signal(self, kind: str, number: signal.Signals) -> int | None:
        names = [name for name in self._running.board.names if name.partition(".")[0] == kind]
        pid = next(filter(None, map(self._running.supervisor.pid, names)), None)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return pid

    def _kill_model(self) -> None:
        self._signal("worker", signal.SIGKILL)

    def _kill_console(self) -> None:
        self._signal("console", signal.SIGKILL)

    def _freeze_camera(self) -> None:
        pid = self._signal("capture", signal.SIGSTOP)
        if pid is not None:
            self._after(STILL_NS, lambda: _go_on(pid))

    def _hog_cpu(self) -> None:
        if not self._hogs:
            command = [sys.executable, "-m", "inframe.bench.load"]
            self._hogs = [subprocess.Popen([*command, kind], stdin=subprocess.DEVNULL) for kind in HOGS]
            self._after(HOGS_NS, self._unhog)

    def _unhog(self) -> None:
        for hog in self._hogs:
            hog.kill()
            hog.wait()
        self._hogs.clear()

    def _swap_model(self) -> None:
        """The same model once more, as a candidate: in shadow, then on trial, then kept."""
        running = self._running
        try:
            running.propose({name: running.candidate.device.models[name] for name in running.device.models})
            self._swapping = True
        except InframeError as error:
            running.notes.append(("demo", "swap_model", one_line(error)))

    def _swap_on(self) -> None:
        running, health = self._running, self._running.health()
        if health.phase is Phase.NONE:
            self._swapping = False
            return
        with suppress(InframeError):  # not yet: it is asked again at the next look
            if health.phase is Phase.SHADOW:
                running.switch()
            elif running.clock.now() - health.since_ns > TRIAL_NS:
                running.keep()

    def _after(self, ns: int, mend: Callable[[], None]) -> None:
        self._later.append((self._running.clock.now() + ns, mend))


def _go_on(pid: int) -> None:
    with suppress(ProcessLookupError):  # the parent has replaced it meanwhile, which is the point
        os.kill(pid, signal.SIGCONT)


BREAKS: dict[str, Callable[[Breaking], None]] = {
    "kill_model": Breaking._kill_model,
    "freeze_camera": Breaking._freeze_camera,
    "hog_cpu": Breaking._hog_cpu,
    "swap_model": Breaking._swap_model,
    "kill_console": Breaking._kill_console,
}
