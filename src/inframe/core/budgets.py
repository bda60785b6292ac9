"""BUDGETS: every time limit of the frame path that is not the integrator's to choose, in one table (ns)."""

from inframe.core.clock import NS_PER_MS, NS_PER_S

DRAW_NS = 7 * NS_PER_MS
"""Kept back from a frame's deadline for decide, overlay and hand-off to the screen. Measured on the reference machine:
its p99 under load is 5 ms at 1280x720 (docs/performance.md)."""

STAND_IN_NS = 6 * NS_PER_MS
"""On trial the picture waits so much less for a candidate whose stand-in has spoken: a process that dies on the display's core
holds that up too, for some milliseconds (measured: a frame was 5 ms late without this)."""

NO_SIGNAL_REDRAW_NS = 100 * NS_PER_MS
"""How often the NO SIGNAL card is redrawn, so that its clock and its alert go on."""

RECOVER_NS = 300 * NS_PER_MS
"""A better mode is entered only after this long without a reason for the worse one."""

VIDEO_ONLY_NS = 500 * NS_PER_MS
"""Nothing to draw, neither current nor held, for this long turns DEGRADED into VIDEO_ONLY."""

START_NS = 3 * NS_PER_S
"""No frame and no result are no fault for so long after the start: cameras and models take a moment to open."""

HANG_NS = 400 * NS_PER_MS
"""A process of the frame path whose heartbeat is older than this is killed and started again."""

RECORDING_START_NS = NS_PER_S
"""So long the first frame of a device that records waits for its recording, once, at the start."""
