"""How a tip comes nearer to a structure: its distance and speed out of noisy distances, and when it would touch. Pure.

A Kalman filter over the signed distance (negative: inside) and its rate, of a tip that is pushed about by a random acceleration.
Signed, as a straight way across the edge is then a straight line, and has no corner at 0 that a filter would round off. The speed
out of differences instead is that of half a second ago, and trembles with the mask's edge.
"""

import math
from dataclasses import dataclass

from inframe.core.clock import NS_PER_S

PUSH = 0.2
"""Of a random acceleration, in frame widths: what a tip at work moves by beyond its own speed in one second, roughly."""
FASTEST = 0.15
"""Frame widths a second: how fast it may be at its first distance, one standard deviation. One that comes into the picture comes
as fast as it works: were it held for slow, it would be there before its speed is believed."""
SLOWEST = 0.005
"""Frame widths a second: slower than this nothing approaches, as the mask's edge trembles as much."""
FORGET_NS = NS_PER_S // 2
"""Without a distance for so long nothing is known of the speed."""
SURPRISE = 16.0
"""A distance more than four standard deviations off is a jump, and begins anew: to be late with a warning would be worse than to
forget a speed."""


@dataclass(frozen=True, slots=True)
class Approach:
    """What is known at a moment; pixels, seconds and their variances."""

    at_ns: int
    px: float
    """Signed: negative inside of the structure."""
    speed: float
    """Its rate; negative: nearer."""
    variances: tuple[float, float, float]
    """Of the distance, of both together, of the speed."""


def approached(past: Approach | None, at_ns: int, px: float, error_px: float, width: int) -> Approach:
    """After one more distance, which may be off by `error_px` (one standard deviation), in a frame of this width."""
    noise = error_px * error_px
    anew = Approach(at_ns, px, 0.0, (noise, 0.0, (FASTEST * width) ** 2))
    if past is None or at_ns - past.at_ns > FORGET_NS:
        return anew
    dt, push = (at_ns - past.at_ns) / NS_PER_S, (PUSH * width) ** 2
    a, b, c = past.variances
    a, b, c = a + dt * (2 * b + dt * c) + push * dt**3 / 3, b + dt * c + push * dt**2 / 2, c + push * dt
    there = past.px + past.speed * dt
    off = px - there
    if off * off > SURPRISE * (a + noise):
        return anew
    gain, turn = a / (a + noise), b / (a + noise)
    after = (a - gain * a, b - gain * b, c - turn * b)
    return Approach(at_ns, there + gain * off, past.speed + turn * off, after)


def contact_s(approach: Approach, width: int) -> float | None:
    """In how many seconds the tip touches, at its present speed; 0 inside; None where nothing approaches."""
    if approach.px <= 0:
        return 0.0
    return -approach.px / approach.speed if approach.speed <= -SLOWEST * width else None


def error_of(tip_px: float, cell_px: float) -> float:
    """The error of one distance: the tip's, and half a pixel of the mask for the edge."""
    return math.hypot(tip_px, cell_px / 2)
