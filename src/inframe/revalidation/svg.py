"""Plots of a report, as SVG that stands in the page itself."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from inframe.revalidation.tally import BINS, CONFIDENCE_ONE, edge_of, quantile

INK, FAINT, GOOD, BAD, BLUE = "#1b2430", "#8a94a3", "#17803d", "#b3261e", "#2b6cb0"
Range = tuple[float, float]


def _svg(width: int, height: int, inside: Sequence[str], about: str) -> str:
    head = f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{escape(about)}">'
    return "\n".join([head, *inside, "</svg>"])


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = INK, width: float = 1, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    at = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {at} stroke="{colour}" stroke-width="{width}"{dashed}/>'


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = FAINT) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _dot(x: float, y: float, radius: float, colour: str, opacity: float = 1) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}" fill-opacity="{opacity}"/>'


def bound(value: float, low: float | None, high: float | None, must: float, side: str, *, shown: bool) -> str:
    """One hypothesis: the estimate, the bound that counts as a bar towards it, and the line that it must not cross."""
    width, height, pad = 240, 30, 16
    edge = low if side == "low" else high
    known = [x for x in (value, edge, must) if x is not None and math.isfinite(x)]
    if not math.isfinite(value) or len(known) < 2:
        return _svg(width, height, [_text(width / 2, 19, "not estimable", "middle")], "not estimable")
    first, last = min(known), max(known)
    room = (last - first) * 0.15 or abs(first) * 0.1 or 1.0
    span = first - room, last + room

    def at(x: float) -> float:
        return pad + (x - span[0]) / (span[1] - span[0]) * (width - 2 * pad)

    colour = GOOD if shown else BAD
    far = at(edge) if edge is not None and math.isfinite(edge) else (0 if side == "low" else width)
    inside = [
        _line(at(must), 2, at(must), height - 2, INK, 1.5, "4 2"),
        _line(far, 15, at(value), 15, colour, 3),
        _line(far, 9, far, 21, colour, 2),
        _dot(at(value), 15, 5, colour),
    ]
    return _svg(width, height, inside, f"found {value:.4g}, bound {edge}, must be beyond {must:g}")


def groups(rows: Sequence[tuple[str, float, float | None, float | None, bool]], better: str) -> str:
    """Subgroups below each other: (name, value, low, high, is judged), with both one-sided bounds."""
    left, width, step = 170, 510, 22
    finite = [x for _, *numbers, _ in rows for x in numbers if x is not None and math.isfinite(x)]
    if not finite:
        return _svg(width, 30, [_text(left, 18, "nothing to estimate")], "nothing")
    values = [row[1] for row in rows if math.isfinite(row[1])]
    reach = max((max(values) - min(values)) * 1.5, abs(max(values)) * 0.1, 1e-9)
    low, high = max(min(finite), min(values) - reach), min(max(finite), max(values) + reach)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)

    def at(x: float) -> float:
        return left + (min(max(x, low), high) - low) / (high - low) * (width - left - 70)

    inside = []
    for k, (name, value, under, over, is_judged) in enumerate(rows):
        y = step * k + 16
        colour = BLUE if is_judged else FAINT
        inside.append(_text(left - 12, y + 4, name, "end", INK if is_judged else FAINT))
        if math.isfinite(value):
            ends = [at(x if x is not None else edge) for x, edge in ((under, low), (over, high))]
            inside += [_line(ends[0], y, ends[1], y, colour, 2), _dot(at(value), y, 4, colour)]
            inside.append(_text(width - 4, y + 4, f"{value:.3g}", "end", INK))
    axis = step * len(rows) + 14
    inside += [_line(left, axis - 6, width - 70, axis - 6, FAINT)]
    inside += [_text(left, axis + 8, _short(low)), _text(width - 70, axis + 8, _short(high), "end")]
    inside += [_text((left + width - 70) / 2, axis + 8, f"{better} is better", "middle")]
    return _svg(width, axis + 14, inside, "subgroups")


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) > 1e-6 else "0"


def reliability(bins: Sequence[Sequence[int]]) -> str:
    """How sure the model was, and how often it was right then; the circles' areas are how many pixels."""
    size, pad = 240, 34

    def at(x: float, y: float) -> Range:
        return pad + x * (size - pad - 8), size - pad - y * (size - pad - 8)

    total = sum(row[0] for row in bins) or 1
    inside = [_line(*at(0, 0), *at(1, 1), FAINT, 1, "4 3"), _line(*at(0, 0), *at(1, 0)), _line(*at(0, 0), *at(0, 1))]
    for count, sure, right in bins:
        if count:
            x, y = at(sure / CONFIDENCE_ONE / count, right / count)
            inside.append(_dot(x, y, round(2.5 + 14 * math.sqrt(count / total), 1), BLUE, 0.6))
    inside += [_text(*at(0.5, -0.13), "confidence", "middle"), _text(pad - 6, pad - 12, "right")]
    inside += [_text(at(0, 0)[0], at(0, 0)[1] + 14, "0", "middle"), _text(at(1, 0)[0], at(1, 0)[1] + 14, "1", "middle")]
    return _svg(size, size, inside, f"reliability diagram, {BINS} bins")


def latency(histogram: Mapping[int, int]) -> str:
    """Durations of all runs, on a logarithmic scale, with the median and the 99.9th percentile."""
    width, height, pad = 460, 170, 30
    if not histogram:
        return _svg(width, 30, [_text(pad, 18, "no runs")], "no runs")
    edges = {edge_of(index) / 1000: count for index, count in histogram.items()}
    first, last = math.log10(max(min(edges), 0.001)), math.log10(max(edges))
    last = last if last > first else first + 0.1
    most = max(edges.values())

    def at(ms: float) -> float:
        return pad + (math.log10(max(ms, 0.001)) - first) / (last - first) * (width - 2 * pad)

    inside = [_line(pad, height - pad, width - pad, height - pad)]
    for ms, count in sorted(edges.items()):  # a root, so that the rare long ones can be seen
        tall = math.sqrt(count / most) * (height - pad - 30)
        inside.append(_line(at(ms), height - pad, at(ms), height - pad - tall, BLUE, 3))
    for share, name in ((0.5, "median"), (0.999, "p99.9")):
        ms = quantile(histogram, share) or 0.0
        anchor = "middle" if pad + 40 < at(ms) < width - pad - 40 else "end" if at(ms) > width / 2 else "start"
        inside += [
            _line(at(ms), 18, at(ms), height - pad, BAD, 1, "3 2"),
            _text(at(ms), 13, f"{name} {ms:.1f} ms", anchor, INK),
        ]
    inside += [
        _text(pad, height - 12, f"{10**first:.2g} ms"),
        _text(width - pad, height - 12, f"{10**last:.3g} ms", "end"),
    ]
    return _svg(width, height, inside, "latency")


def strip(rows: Sequence[tuple[str, Sequence[float]]]) -> str:
    """For each label a dot for each case, 0..1."""
    left, width, step = 150, 620, 22
    inside = []
    for k, (name, values) in enumerate(rows):
        y = step * k + 14
        inside += [_text(left - 12, y + 4, name, "end", INK), _line(left, y, width - 20, y, "#e3e7ec")]
        inside += [_dot(left + value * (width - left - 20), y, 4, BLUE, 0.45) for value in values]
    axis = step * len(rows) + 16
    inside += [
        _text(left + share * (width - left - 20), axis, f"{share:g}", "middle") for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    return _svg(width, axis + 8, inside, "Dice of each case")
